//! The trait `AuditStore`: what the append loop needs from the storage of a
//! chain.
//!
//! One trait, so that Redis, memory, a model checker's fake and a deliberately
//! broken store are all driven by the same loop. It must not know of queues,
//! callers or deadlines.

use std::future::Future;

use crate::{
    chain::{EventHash, Head, Position, Record},
    error::{AttemptError, ReadError},
};

/// A place that holds one chain, shared with other writers.
///
/// An implementation promises that [`append`](AuditStore::append) is atomic
/// and fenced: either every record of the batch is appended to a chain whose
/// head is the batch's base, or nothing changes.
pub trait AuditStore: Send + Sync + 'static {
    /// What is held while a batch is on its way; see [`AuditStore::lease`].
    type Lease: Send;

    /// Appends `batch` if the chain's head still is the batch's base.
    ///
    /// # Errors
    ///
    /// [`AttemptError`] tells what this attempt, and this attempt alone, can
    /// have done.
    fn append(&self, batch: &Batch<'_>)
    -> impl Future<Output = Result<Reply, AttemptError>> + Send;

    /// Reads the chain's end, and what stands at the position `seen`.
    ///
    /// # Errors
    ///
    /// As for [`append`](AuditStore::append); a read has no effect to doubt.
    fn tail(
        &self,
        seen: Option<Position>,
    ) -> impl Future<Output = Result<Tail, AttemptError>> + Send;

    /// Reads stored records by their place in the list, which starts at 0:
    /// those from `start` on, at most up to `end` (exclusive), in order. At
    /// least one if there is one; fewer than asked for where they are large.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn read(
        &self,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, ReadError>> + Send;

    /// Asks other writers to stay away while a batch is appended.
    ///
    /// It lowers contention and nothing else: an implementation gives up
    /// after a bounded time and answers anyway.
    fn lease(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Gives a lease back.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
}

/// Records that are appended together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The head that the first record was sealed onto: the fence.
    pub base: Head,
    /// At least one, in order.
    pub records: &'a [Record],
    /// The highest position this writer has seen.
    pub seen: Option<Position>,
    /// Whether a copy of this very batch was sent before and its reply lost,
    /// so that a conflict must also tell whether that copy landed.
    pub resent: bool,
}

/// The answer to a batch.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The batch is in the chain, at the positions its records were sealed to.
    Committed,
    /// The head was not the base; this attempt changed nothing.
    Conflict {
        /// The chain's end as it was met.
        tail: Tail,
        /// What stands at the batch's positions, in order, as far as the
        /// chain goes; empty unless the batch was [`resent`](Batch::resent).
        landed: Vec<Position>,
    },
}

/// The end of a chain, and whether it is still the chain it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last record.
    pub head: Head,
    /// Elements in the list.
    pub length: u64,
    /// What became of the position that was asked about.
    pub seen: Seen,
}

impl Tail {
    /// Whether the list begins after `position`, which may have been trimmed
    /// away.
    pub(super) fn is_trimmed_at(&self, position: Option<Position>) -> bool {
        match (self.head, position) {
            (Head::At(head), Some(position)) => {
                let gone = head.sequence.get().saturating_sub(self.length);
                position.sequence.get() <= gone
            }
            _ => false,
        }
    }
}

/// What stands at a position that a writer had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same record, or nothing was asked.
    Stands,
    /// Another record, or none: the chain was rolled back.
    Gone {
        /// What stands there now.
        found: Option<EventHash>,
    },
    /// The list no longer reaches back that far; nobody can tell.
    Trimmed,
}
