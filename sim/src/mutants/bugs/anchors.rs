//! Anchors that are not caught up with, or not synced.

use std::io;

use haechi_store_redis::{audit::AnchorSink, chain::Position};

use crate::mutants::bug::PlantedBug;

/// A file of anchors is taken for a new one.
pub(in crate::mutants) struct AnchorsDoNotCatchUp;

impl PlantedBug for AnchorsDoNotCatchUp {
    fn last_anchor(&self, _: &impl AnchorSink) -> Option<Position> {
        None
    }
}

/// Anchors count as written once they were given to the medium.
pub(in crate::mutants) struct AnchorsUnsynced;

impl PlantedBug for AnchorsUnsynced {
    fn sync_anchors(&self, _: &mut impl AnchorSink) -> io::Result<()> {
        Ok(())
    }
}
