//! The trait `AuditStore`: what the append loop needs from the storage of a
//! chain.
//!
//! Redis, memory, models and stores with planted bugs are driven by the same
//! loop. A store does not depend on queues, callers or deadlines.

use std::future::Future;

use crate::{
    chain::{EventHash, Head, Position, Record},
    durability::{Durability, DurabilityStatus},
    error::{AttemptError, ReadError},
    health::Health,
};

/// The storage of one chain, shared with other writers.
///
/// An implementation promises that [`append`](AuditStore::append) is atomic
/// and fenced: either every record of the batch is appended to a chain whose
/// head is the batch's base, or nothing changes.
pub trait AuditStore: Send + Sync + 'static {
    /// The lease during an append; see [`AuditStore::lease`].
    type Lease: Send;

    /// Appends `batch` if the chain's head still is the batch's base.
    ///
    /// # Errors
    ///
    /// [`AttemptError`] tells what this attempt alone can have done.
    fn append(&self, batch: &Batch<'_>)
    -> impl Future<Output = Result<Reply, AttemptError>> + Send;

    /// Reads the chain's end, and the record at the position `seen`.
    ///
    /// # Errors
    ///
    /// As for [`append`](AuditStore::append); a read has no effect.
    fn tail(
        &self,
        seen: Option<Position>,
    ) -> impl Future<Output = Result<Tail, AttemptError>> + Send;

    /// Reads stored records by their index in the list, from 0: those from
    /// `start` on, at most up to `end` (exclusive), in order. Returns at least
    /// one if there is one, and fewer than requested if they are large.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    fn read(
        &self,
        start: u64,
        end: u64,
    ) -> impl Future<Output = Result<Vec<Vec<u8>>, ReadError>> + Send;

    /// How durable a record must be before it counts as done. Unless it is
    /// [`Durability::Memory`], the default, [`confirm`](Self::confirm) is called for
    /// what was appended.
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    /// Whether the record at `position`, and with it all before it, is as durable
    /// as asked. Finds out first that the record is there: another server may have
    /// become the primary since the append. By default it is.
    ///
    /// # Errors
    ///
    /// As for [`append`](AuditStore::append); it has no effect on the chain.
    fn confirm(
        &self,
        _position: Position,
    ) -> impl Future<Output = Result<DurabilityStatus, AttemptError>> + Send {
        std::future::ready(Ok(DurabilityStatus::AsAsked))
    }

    /// What is known of the connection beside what attempts show.
    fn health(&self) -> Health {
        Health::Serving
    }

    /// Tries to keep other writers away during an append.
    ///
    /// It only reduces contention: an implementation returns after a bounded
    /// time, with or without a lease.
    fn lease(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Releases a lease.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
}

/// Records that are appended together or not at all.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The head that the first record was sealed onto: the fence.
    pub base: Head,
    /// At least one, in order.
    pub records: &'a [Record],
    /// The highest position that this writer has seen.
    pub seen: Option<Position>,
    /// Whether a copy of this batch was sent before and its reply lost, so that
    /// a conflict must also tell whether that copy was applied.
    pub resent: bool,
}

/// The answer to a batch.
#[derive(Clone, Debug)]
pub enum Reply {
    /// The batch is in the chain, at the positions that its records were sealed
    /// for.
    Committed,
    /// The head was not the base; this attempt changed nothing.
    Conflict {
        /// The chain's current end.
        tail: Tail,
        /// Whether the chain has the batch's first record, and with it the batch;
        /// `false` unless the batch was [`resent`](Batch::resent).
        applied: bool,
    },
}

/// The end of a chain, and whether the chain still contains a position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tail {
    /// The last record.
    pub head: Head,
    /// Elements in the list.
    pub length: u64,
    /// The state of the position given in the request.
    pub seen: Seen,
}

impl Tail {
    /// Whether the list begins after `position`, which may have been trimmed.
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

/// The state of a position that a writer had seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The same record is there, or no position was given.
    Stands,
    /// Another record is there, or none: the chain was rolled back.
    Gone {
        /// The record that is there now.
        found: Option<EventHash>,
    },
    /// The list no longer reaches back that far, so this is unknown.
    Trimmed,
}

/// What the keys of a chain hold, also if they disagree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainState {
    /// Elements in the list.
    pub length: u64,
    /// The text of `head`, which should be the last record's `auditIntegrity`.
    pub head: Option<Vec<u8>>,
    /// The text of `head:hash`, which should be the last record's hash.
    pub head_hash: Option<Vec<u8>>,
    /// Why the three do not name one record, without any record's content; `None`
    /// if they do, and for an empty chain.
    pub disagreement: Option<String>,
}

/// A list that was verified: the fence of a repair.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedList<'a> {
    /// The keys as they were read before the list.
    pub state: &'a ChainState,
    /// The last element as it was verified; empty for an empty list.
    pub last: &'a [u8],
}

/// The answer to a repair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RepairReply {
    /// The record is in the list and the head names it, by this attempt or an
    /// earlier one with the same record.
    Repaired,
    /// The keys are not as they were verified; nothing was written.
    Changed,
}

/// A store whose keys can disagree, and can be repaired.
pub trait RepairStore: AuditStore {
    /// Reads the keys as they are.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]; a read has no effect.
    fn state(&self) -> impl Future<Output = Result<ChainState, AttemptError>> + Send;

    /// Appends `record` and makes it the head in one step, if length, last
    /// element and both keys still are those in `verified`.
    ///
    /// # Errors
    ///
    /// [`AttemptError`] tells what this attempt alone can have done.
    fn repair(
        &self,
        verified: &VerifiedList<'_>,
        record: &Record,
    ) -> impl Future<Output = Result<RepairReply, AttemptError>> + Send;
}

/// Asks, and once more if no reply comes: a proxy may have closed the connection while
/// nobody used it. Only for what changes nothing.
pub(crate) async fn once_more<T, F>(ask: impl Fn() -> F) -> Result<T, AttemptError>
where
    F: Future<Output = Result<T, AttemptError>>,
{
    match ask().await {
        // Boxed: it is rare, and would double the future.
        Err(AttemptError::Ambiguous(_)) => Box::pin(ask()).await,
        answer => answer,
    }
}
