//! What became of an append, found out from its [`Handle`] by any process.
//!
//! Depends on nothing that the process that appended still has, and on no append loop.

use std::{fmt, time::Duration};

use super::{
    read::Pages,
    sink::new_append,
    store::{AuditStore, Batch, Seen, Tail},
};
use crate::{
    chain::{Event, Head, Position, StoredRecord},
    clock::{Clock, iso8601, within},
    durability::{Durability, DurabilityStatus},
    entropy::{Entropy, Jitter},
    error::{AttemptError, Cause, Corrupt, Handle, ReadError},
};

/// Waits after a failure, or after a scan during which the list moved.
const RETRY_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Scans that may find the list moved before the records count as not linked.
const SCANS: u32 = 8;

/// What to do about a write that can still be applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IfOpen {
    /// Nothing: nothing is written.
    Leave,
    /// Make sure that it is not applied any more, by a write of one's own.
    Settle,
}

/// What became of a write; `T` is where it was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resolution<T> {
    /// It was applied, once.
    Applied(T),
    /// It was not applied, and no copy of it can be.
    NotApplied,
    /// It was not applied, and still can be.
    Open,
}

impl<T> Resolution<T> {
    /// Where it was applied, if it was.
    pub fn applied(self) -> Option<T> {
        match self {
            Self::Applied(at) => Some(at),
            Self::NotApplied | Self::Open => None,
        }
    }

    /// The same with another name for where it was applied.
    pub fn map<U>(self, name: impl FnOnce(T) -> U) -> Resolution<U> {
        match self {
            Self::Applied(at) => Resolution::Applied(name(at)),
            Self::NotApplied => Resolution::NotApplied,
            Self::Open => Resolution::Open,
        }
    }
}

impl<T: fmt::Display> fmt::Display for Resolution<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Applied(at) => write!(f, "applied at {at}"),
            Self::NotApplied => f.write_str("not applied"),
            Self::Open => f.write_str("still open"),
        }
    }
}

/// Why it was not found out, for good, what became of a write. But for
/// [`NotDurable`](Self::NotDurable), nothing is concluded from any of these.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// Redis could not be reached or refused, until the deadline.
    #[error("nothing was found out: {0}; ask again, with the same handle")]
    Unavailable(Cause),

    /// [`IfOpen::Settle`] found it out, and what shows it, or made it certain, was not as
    /// durable as asked by the deadline: if Redis loses that, the answer can be another.
    #[error(
        "it is {resolution}, and that is not yet as durable as asked: {why}; ask again, with the \
         same handle"
    )]
    NotDurable {
        /// The answer, with the sequence or the version.
        resolution: Resolution<u64>,
        /// Why it is not.
        why: String,
    },

    /// The state in Redis is not a chain or vault.
    #[error(transparent)]
    Corrupt(Corrupt),

    /// The chain no longer has the record that the append would stand after.
    #[error(
        "the chain was rolled back: it has lost sequence {} with hash {}, after which the record \
         would stand, {}. The append is not in the chain, and if that record is \
         restored it may be: restore it, or accept the loss and record the event again",
        base.sequence, base.event_hash, describe(*met)
    )]
    RolledBack {
        /// The record that is gone.
        base: Position,
        /// The current head.
        met: Head,
    },

    /// Records after the handle's base are no longer in the list.
    #[error(
        "the list begins at sequence {first}, and the record may have been trimmed away: search \
         for appendId {} where the records before that were sealed",
        handle.append_id
    )]
    Trimmed {
        /// The append.
        handle: Box<Handle>,
        /// The first sequence that the list holds.
        first: u64,
    },

    /// A record does not link to the one before it.
    #[error(
        "the record after sequence {after} does not link to it, so that nothing follows from the \
         records behind it; run `haechi-store audit verify`"
    )]
    NotLinked {
        /// The sequence before the record.
        after: u64,
    },

    /// The vault lacks what the mutation's process had seen.
    #[error(
        "the vault was rolled back: the mutation's process had seen version {seen} and receipts of \
         which some are gone; version is {met} now. The mutation is not in the vault, and if the \
         data is restored it may be: restore it, or accept the loss and repeat the mutation"
    )]
    VaultRolledBack {
        /// The version that was seen.
        seen: u64,
        /// The current version.
        met: u64,
    },

    /// The vault no longer keeps the receipt that would tell.
    #[error(
        "the receipts from the begin of the mutation on are no longer all kept, so that nothing \
         tells whether it was applied: read the tokens"
    )]
    ReceiptExpired,
}

fn describe(met: Head) -> String {
    match met {
        Head::Empty => "and is empty now".to_owned(),
        Head::At(met) => format!("and ends at sequence {} now", met.sequence),
    }
}

/// Finds out what became of the append that `handle` names.
///
/// If it was sent, in a batch, its record is at most one batch after the handle's
/// base: one page of records, or a few, is read, and as long as the head is the base the
/// append is [open](Resolution::Open). For a ticket, everything from its base to the
/// head is read, O(records); as nothing tells whether its process still has the
/// event, an append that is not there is open. What is read is linked record by record to the
/// base, and read on a primary.
///
/// With [`IfOpen::Settle`], a record `{"operation":"audit:fence"}` is appended where an append
/// is open, which no copy that was sent survives: the answer is *applied* or *not applied*.
/// For a ticket it is final only if its process has ended, or does not append the event any more.
/// Either is told once the chain's end is as durable as the store asks.
///
/// Takes at most `deadline`. Dropping the future leaves at most the fence's record behind.
///
/// # Errors
///
/// [`ResolveError`]; asking again is always safe.
pub async fn resolve<S: AuditStore, C: Clock, E: Entropy>(
    store: &S,
    clock: &C,
    entropy: &E,
    deadline: Duration,
    handle: &Handle,
    if_open: IfOpen,
) -> Result<Resolution<Position>, ResolveError> {
    let mut resolver = Resolver {
        store,
        handle,
        cursor: handle.base,
        scans: 0,
        failure: ResolveError::Unavailable(Cause::new("no answer")),
    };
    let fence = match if_open {
        IfOpen::Leave => None,
        IfOpen::Settle => Some(Fence::new(handle, clock, entropy)?),
    };
    let resolved = async {
        let mut jitter = Jitter::new(RETRY_WAIT.0, RETRY_WAIT.1);
        // The head as it was first met: the process that has ended knew none after it.
        let mut last_base = handle.position.map(|_| handle.base);
        loop {
            match resolver.step(fence.as_ref(), &mut last_base).await {
                Ok(Step::Resolved(resolution)) => return Ok(resolution),
                Ok(Step::Again) => {}
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Temporarily(error)) => {
                    resolver.failure = error;
                    clock.sleep(jitter.next(entropy)).await;
                }
            }
        }
    };
    let resolved = within(clock, deadline, resolved).await;
    resolved.unwrap_or(Err(resolver.failure))
}

struct Resolver<'a, S> {
    store: &'a S,
    handle: &'a Handle,
    /// The record is not between the handle's base and here.
    cursor: Head,
    /// Scans that found the list moved.
    scans: u32,
    /// The last failure that was temporary.
    failure: ResolveError,
}

enum Step {
    Resolved(Resolution<Position>),
    Again,
}

enum Failed {
    Temporarily(ResolveError),
    Finally(ResolveError),
}

impl<S: AuditStore> Resolver<'_, S> {
    /// Reads on from the cursor. Without a `last_base`, the last head that a copy of the append
    /// can have been sealed onto, it is the one met here.
    async fn step(
        &mut self,
        fence: Option<&Fence>,
        last_base: &mut Option<Head>,
    ) -> Result<Step, Failed> {
        let tail = self.store.tail(self.cursor.position()).await?;
        let start = self.start(&tail)?;
        let last_base = *last_base.get_or_insert(tail.head);
        if tail.head != self.cursor {
            let end = self.handle.position.map_or(tail.head.len(), |position| {
                position.sequence.get().min(tail.head.len())
            });
            let count = end.saturating_sub(self.cursor.len());
            if let Some(position) = self.scan(start, count, &tail).await? {
                let applied = Resolution::Applied(position);
                return self.conclude(applied, fence, tail.head).await;
            }
        }
        let is_past = tail.head.len() > last_base.len();
        match fence {
            _ if is_past && (fence.is_some() || self.handle.position.is_some()) => {
                self.conclude(Resolution::NotApplied, fence, tail.head)
                    .await
            }
            None => Ok(Step::Resolved(Resolution::Open)),
            Some(fence) => {
                self.cursor = tail.head;
                fence.append(self.store, tail.head).await?;
                Ok(Step::Again)
            }
        }
    }

    /// With a fence, the answer is certain once the chain is as durable as asked up to `met`.
    async fn conclude(
        &self,
        resolution: Resolution<Position>,
        fence: Option<&Fence>,
        met: Head,
    ) -> Result<Step, Failed> {
        if let (Some(_), Some(met)) = (fence, met.position())
            && self.store.durability() != Durability::Memory
            // Boxed: it is rare, and larger than the rest.
            && let DurabilityStatus::NotYet(why) = Box::pin(self.store.confirm(met)).await?
        {
            let resolution = resolution.map(|position| position.sequence.get());
            return Err(Failed::Temporarily(ResolveError::NotDurable {
                resolution,
                why,
            }));
        }
        Ok(Step::Resolved(resolution))
    }

    /// The list's index, from 0, of the record after the cursor.
    fn start(&self, tail: &Tail) -> Result<u64, Failed> {
        let trimmed = tail.head.len().saturating_sub(tail.length);
        match (
            tail.seen,
            self.cursor,
            self.cursor.len().checked_sub(trimmed),
        ) {
            (Seen::Gone { .. }, Head::At(base), _) => {
                Err(Failed::Finally(ResolveError::RolledBack {
                    base,
                    met: tail.head,
                }))
            }
            (Seen::Stands, _, Some(start)) => Ok(start),
            _ => Err(Failed::Finally(ResolveError::Trimmed {
                handle: Box::new(*self.handle),
                first: trimmed + 1,
            })),
        }
    }

    /// Looks for the append among `count` records from the list's index `start` on, each of
    /// which must link to the one before it.
    async fn scan(
        &mut self,
        start: u64,
        count: u64,
        tail: &Tail,
    ) -> Result<Option<Position>, Failed> {
        let mut pages = Pages::over(self.store, start, start + count);
        let mut last = self.cursor;
        while last.len() < self.cursor.len() + count {
            let page = pages.next().await?;
            if page.is_empty() {
                return Err(self.moved(last));
            }
            for record in page {
                match StoredRecord::parse(&record) {
                    Ok(record) if links(&record, last) => {
                        if record.append_id == Some(self.handle.append_id) {
                            return Ok(Some(record.position));
                        }
                        last = Head::At(record.position);
                    }
                    _ => return Err(self.moved(last)),
                }
            }
        }
        if last.len() == tail.head.len() && last != tail.head {
            return Err(self.moved(last));
        }
        Ok(None)
    }

    /// The list was trimmed or replaced while it was read, or is damaged.
    fn moved(&mut self, last: Head) -> Failed {
        self.scans += 1;
        if self.scans >= SCANS {
            let after = last.len();
            return Failed::Finally(ResolveError::NotLinked { after });
        }
        let moved = Cause::new("the list changed while it was read");
        Failed::Temporarily(ResolveError::Unavailable(moved))
    }
}

fn links(record: &StoredRecord, last: Head) -> bool {
    record.previous == last.event_hash() && Some(record.position.sequence) == last.next_sequence()
}

/// The record that moves the head.
struct Fence {
    append_id: crate::chain::AppendId,
    event: Event,
}

impl Fence {
    fn new(
        handle: &Handle,
        clock: &impl Clock,
        entropy: &impl Entropy,
    ) -> Result<Self, ResolveError> {
        let unavailable = |why: String| ResolveError::Unavailable(Cause::new(why));
        let append_id = new_append(entropy).map_err(|error| unavailable(error.to_string()))?;
        let text = format!(
            r#"{{"operation":"audit:fence","timestamp":"{}","resolves":"{}"}}"#,
            iso8601(clock.wall()),
            handle.append_id
        );
        let event = Event::from_json(&text).map_err(|error| unavailable(error.to_string()))?;
        Ok(Self { append_id, event })
    }

    /// Appends it onto `base`, unless the head has moved already. A copy that comes late
    /// meets a head that has moved.
    async fn append(&self, store: &impl AuditStore, base: Head) -> Result<(), Failed> {
        let record = self.event.seal(Some(&self.append_id), &base);
        let full = |_| Failed::Finally(ResolveError::Unavailable(Cause::new("the chain is full")));
        let batch = Batch {
            base,
            records: &[record.map_err(full)?],
            seen: base.position(),
            resent: false,
        };
        store.append(&batch).await?;
        Ok(())
    }
}

impl From<AttemptError> for Failed {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Refused(cause) | AttemptError::Ambiguous(cause) => {
                Self::Temporarily(ResolveError::Unavailable(cause))
            }
            AttemptError::Denied(cause) => Self::Finally(ResolveError::Unavailable(cause)),
            AttemptError::Corrupt(corrupt) => Self::Finally(ResolveError::Corrupt(corrupt)),
        }
    }
}

impl From<ReadError> for Failed {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Unavailable(cause) => Self::Temporarily(ResolveError::Unavailable(cause)),
            ReadError::Corrupt(corrupt) => Self::Finally(ResolveError::Corrupt(corrupt)),
        }
    }
}
