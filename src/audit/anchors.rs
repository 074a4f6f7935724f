//! Where anchors go.

use std::io;

use crate::chain::{Anchor, Position};

/// Takes anchors, in order.
pub trait AnchorSink: Send {
    /// Writes one anchor; it is durable when this returns.
    ///
    /// # Errors
    ///
    /// When it could not be written; the record stays applied.
    fn write(&mut self, anchor: &Anchor) -> io::Result<()>;

    /// The last anchor that the sink holds, if it can tell.
    fn last(&self) -> Option<Position> {
        None
    }
}
