//! The chain: events become records, each linked to the one before it.
//!
//! Everything here is pure: no I/O, clock or randomness. No input overflows the
//! stack or panics.

mod anchor;
pub(crate) mod canonical;
mod checkpoints;
mod event;
pub(crate) mod json;
mod loss;
pub(crate) mod number;
mod outline;
mod position;
mod record;
mod sanitize;
#[cfg(test)]
mod tests;
pub(crate) mod text;
mod verdict;
mod verify;

pub use anchor::{Anchor, Anchors};
pub use checkpoints::Checkpoints;
pub use event::{Event, InvalidEvent, Limits, SequenceExhausted};
pub(crate) use loss::explain;
pub use loss::{AcceptedLoss, Loss, LostRange, REPAIRED, ROLLBACK_ACCEPTED};
pub use position::{AppendId, EventHash, Head, Position, Sequence};
pub use record::{Malformed, Record, StoredRecord};
pub use verdict::{AnchorSummary, Fault, InvalidLine, Reason, Verdict};
pub use verify::Verifier;
