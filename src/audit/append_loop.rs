//! The append loop, one per process: takes what is queued, seals it onto the
//! head, sends it as a fenced batch, and resolves its outcome.
//!
//! The rules that make an append happen exactly once, whatever replies are
//! lost, are all in [`AppendLoop::attempt`]. This module must not know what a
//! store is made of; clock and entropy are injected.

use std::{
    future::{Future, poll_fn},
    num::NonZeroU64,
    pin::pin,
    task::Poll,
    time::Duration,
};

use super::{
    AnchorSink,
    queue::{BatchLimits, Queue},
    sink::{AnchorStatus, Appended},
    store::{AuditStore, Batch, Reply, Seen, Tail},
};
use crate::{
    chain::{Anchor, Head, Position, Record},
    clock::{Clock, iso8601},
    entropy::{Entropy, Jitter},
    error::{AppendError, AttemptError, Cause, Corrupt, Handle, NotApplied, RolledBack},
    sync::Arc,
};

/// Drives one [`AuditSink`](super::AuditSink): run it as a task of its own.
///
/// Dropping it, or the future of [`run`](Self::run), settles every append that
/// it still holds: unknown if it was in flight, not applied otherwise.
pub struct AppendLoop<S, C, E> {
    pub(super) store: S,
    pub(super) clock: C,
    pub(super) entropy: E,
    pub(super) queue: QueueEnd,
    pub(super) limits: BatchLimits,
    pub(super) anchoring: Option<Anchoring>,
    /// The head as last met; `None` before the first reading and after
    /// anything that makes it doubtful.
    pub(super) head: Option<Head>,
    /// The highest position ever seen by this process.
    pub(super) seen: Option<Position>,
    pub(super) rolled_back: Option<Corrupt>,
}

/// Ends the queue when the loop goes, however it goes.
pub(super) struct QueueEnd(pub(super) Arc<Queue>);

impl Drop for QueueEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Where anchors go, and how often.
pub(super) struct Anchoring {
    pub(super) sink: Box<dyn AnchorSink>,
    pub(super) every: NonZeroU64,
}

/// Waits between attempts: after a conflict, others are at work and the next
/// attempt may well succeed; after a failure, something has to mend first.
const CONFLICT_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
const FAILURE_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Attempts between two waits after conflicts. An attempt that follows a wait
/// is sealed onto a head that others have had time to move, so it hardly ever
/// wins; those right behind it can. With one attempt a wait, a writer that
/// lost twice starved among writers that had not.
const SPRINT: u64 = 3;

/// Why the fate of a batch can no longer be read.
const TRIMMED: &str = "the chain was trimmed past the append's position before its reply came";

/// What became of a batch.
enum BatchFate {
    /// In the chain, as sealed.
    Applied,
    /// Not in the chain, and no copy of it can ever land.
    NotApplied(Again),
    /// Nobody can tell.
    Unknown(Cause),
    /// Not applied, and trying again is no use.
    Fatal(AppendError),
}

/// What to do before a batch is sealed anew.
enum Again {
    /// The head has moved, and is known.
    AfterConflict,
    /// Something refused.
    AfterFailure(Cause),
}

impl<S: AuditStore, C: Clock, E: Entropy> AppendLoop<S, C, E> {
    /// Appends until the sink is closed and everything queued is settled.
    pub async fn run(mut self) {
        let queue = self.queue.0.clone();
        let mut appending = pin!(self.append_all());
        poll_fn(|cx| match queue.poll_abandoned(cx) {
            Poll::Ready(()) => Poll::Ready(()),
            Poll::Pending => appending.as_mut().poll(cx),
        })
        .await;
    }

    async fn append_all(&mut self) {
        while self.queue.0.work().await {
            let lease = self.store.lease().await;
            self.append_some().await;
            self.store.release(lease).await;
        }
    }

    /// Takes what is queued through to a known end.
    async fn append_some(&mut self) {
        let queue = self.queue.0.clone();
        let mut conflicts = Jitter::new(CONFLICT_WAIT.0, CONFLICT_WAIT.1);
        let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        let mut attempts = 0_u64;
        loop {
            let fate = match self.find_head().await {
                Err(fate) => {
                    // Only what is in hand can be told; nobody may be left.
                    if queue.take(self.limits).is_empty() {
                        return;
                    }
                    fate
                }
                Ok(head) => {
                    let records = self.seal(head);
                    if records.is_empty() {
                        return;
                    }
                    attempts += 1;
                    let fate = self.attempt(head, &records).await;
                    if let BatchFate::Applied = fate {
                        queue.heard(None);
                        queue.count(|stats| {
                            stats.batches += 1;
                            stats.appended += records.len() as u64;
                            stats.most_attempts = stats.most_attempts.max(attempts);
                        });
                        self.acknowledge(&records);
                        return;
                    }
                    fate
                }
            };
            match fate {
                BatchFate::Applied => return,
                BatchFate::NotApplied(Again::AfterConflict) => {
                    queue.take_back(None);
                    queue.count(|stats| stats.conflicts += 1);
                    // The conflict brought the new head along, and it is as
                    // fresh as it will ever be: the next attempts go out at
                    // once. Only a row of losses is evidence of a crowd.
                    if attempts.is_multiple_of(SPRINT) {
                        self.clock.sleep(conflicts.next(&self.entropy)).await;
                    }
                }
                BatchFate::NotApplied(Again::AfterFailure(cause)) => {
                    queue.take_back(Some(cause));
                    queue.count(|stats| stats.retries += 1);
                    self.clock.sleep(failures.next(&self.entropy)).await;
                }
                BatchFate::Unknown(cause) => return queue.settle_unknown(&cause),
                BatchFate::Fatal(error) => return queue.settle(|_| Err(error.clone())),
            }
        }
    }

    /// The cached head, or what a reading gives.
    async fn find_head(&mut self) -> Result<Head, BatchFate> {
        if let Some(rolled_back) = &self.rolled_back {
            return Err(BatchFate::Fatal(rolled_back.clone().into()));
        }
        if let Some(head) = self.head {
            return Ok(head);
        }
        match self.store.tail(self.seen).await {
            Ok(tail) => match self.adopt(tail) {
                Ok(()) => Ok(tail.head),
                Err(rolled_back) => Err(BatchFate::Fatal(rolled_back.into())),
            },
            Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause)) => {
                Err(BatchFate::NotApplied(Again::AfterFailure(cause)))
            }
            Err(AttemptError::Denied(cause)) => {
                Err(BatchFate::Fatal(NotApplied::Refused(cause).into()))
            }
            Err(AttemptError::Corrupt(corrupt)) => Err(BatchFate::Fatal(corrupt.into())),
        }
    }

    /// Seals what is in hand onto `head` and puts it in flight.
    fn seal(&mut self, head: Head) -> Vec<Record> {
        let slots = self.queue.0.take(self.limits);
        let mut records = Vec::with_capacity(slots.len());
        let mut last = head;
        for slot in slots {
            let sealed = slot.send_off(|slot| {
                let record = slot
                    .event
                    .seal(Some(&slot.append_id), &last)
                    .map_err(|_| NotApplied::ChainFull)?;
                let handle = Handle {
                    append_id: slot.append_id,
                    position: record.position(),
                    previous: last.position().map(|position| position.event_hash),
                };
                Ok((handle, record))
            });
            if let Some(record) = sealed {
                last = Head::At(record.position());
                records.push(record);
            }
        }
        self.queue.0.keep_in_flight();
        records
    }

    /// Sends one batch until its fate is known.
    ///
    /// A batch that was sent is never altered before that. Its fate is known
    /// when its script answers. When a reply was lost, the same batch is sent
    /// again: while the head is its base, one of the copies commits and the
    /// others meet a moved head; once the head is past the base, and the
    /// position last seen still stands, no copy can ever commit again, and
    /// what stands at the batch's positions tells whether one has.
    async fn attempt(&mut self, base: Head, records: &[Record]) -> BatchFate {
        let queue = self.queue.0.clone();
        let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        let mut resent = false;
        loop {
            let reply = self
                .store
                .append(&Batch {
                    base,
                    records,
                    seen: self.seen,
                    resent,
                })
                .await;
            let cause = match (reply, resent) {
                (Ok(Reply::Committed), _) => {
                    self.seen = records.last().map(Record::position);
                    self.head = self.seen.map(Head::At);
                    return BatchFate::Applied;
                }
                (Ok(Reply::Conflict { tail, landed }), _) => {
                    return self.conflicted(tail, &landed, records, resent);
                }
                (Err(AttemptError::Refused(cause)), false) => {
                    return BatchFate::NotApplied(Again::AfterFailure(cause));
                }
                (Err(AttemptError::Denied(cause)), false) => {
                    return BatchFate::Fatal(NotApplied::Refused(cause).into());
                }
                (Err(AttemptError::Corrupt(corrupt)), false) => {
                    self.head = None;
                    return BatchFate::Fatal(corrupt.into());
                }
                (Err(AttemptError::Corrupt(corrupt)), true) => {
                    self.head = None;
                    return BatchFate::Unknown(Cause::new(corrupt.to_string()));
                }
                // An earlier copy is still unsettled, so whatever this one
                // met, only a reply to the same batch settles it.
                (Err(AttemptError::Refused(cause) | AttemptError::Denied(cause)), true) => cause,
                (Err(AttemptError::Ambiguous(cause)), _) => {
                    resent = true;
                    queue.count(|stats| stats.lost_replies += 1);
                    cause
                }
            };
            queue.heard(Some(cause));
            queue.count(|stats| stats.retries += 1);
            self.clock.sleep(failures.next(&self.entropy)).await;
        }
    }

    fn conflicted(
        &mut self,
        tail: Tail,
        landed: &[Position],
        records: &[Record],
        resent: bool,
    ) -> BatchFate {
        if let Err(rolled_back) = self.adopt(tail) {
            return if resent {
                BatchFate::Unknown(Cause::new(rolled_back.to_string()))
            } else {
                BatchFate::Fatal(rolled_back.into())
            };
        }
        if !resent {
            return BatchFate::NotApplied(Again::AfterConflict);
        }
        if tail.seen == Seen::Trimmed {
            return BatchFate::Unknown(Cause::new(TRIMMED));
        }
        // A batch is appended whole, so its first record speaks for all.
        let first = records.first().map(Record::position);
        if landed.is_empty() && tail.is_trimmed_at(first) {
            return BatchFate::Unknown(Cause::new(TRIMMED));
        }
        self.queue.0.count(|stats| stats.settled_by_reading += 1);
        if first.is_some() && landed.first().copied() == first {
            BatchFate::Applied
        } else {
            BatchFate::NotApplied(Again::AfterConflict)
        }
    }

    /// Takes over the chain's end as it was met, unless it is not the chain
    /// that this process has seen.
    fn adopt(&mut self, tail: Tail) -> Result<(), Corrupt> {
        if let (Seen::Gone { found }, Some(seen)) = (tail.seen, self.seen) {
            let corrupt = Corrupt::RolledBack(Box::new(RolledBack {
                seen,
                found,
                met: tail.head,
            }));
            self.rolled_back = Some(corrupt.clone());
            return Err(corrupt);
        }
        self.head = Some(tail.head);
        if let Head::At(met) = tail.head {
            self.seen = Some(met);
        }
        Ok(())
    }

    /// Writes the anchors that are due, then tells the callers.
    fn acknowledge(&mut self, records: &[Record]) {
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            ends.push(Appended {
                position: record.position(),
                anchor: self.anchor(record.position()),
            });
        }
        let mut ends = ends.into_iter();
        self.queue.0.settle(|_| match ends.next() {
            Some(end) => Ok(end),
            None => Err(NotApplied::Closed.into()),
        });
    }

    fn anchor(&mut self, position: Position) -> AnchorStatus {
        let Some(anchoring) = &mut self.anchoring else {
            return AnchorStatus::NotDue;
        };
        if !position
            .sequence
            .get()
            .is_multiple_of(anchoring.every.get())
        {
            return AnchorStatus::NotDue;
        }
        let anchor = Anchor {
            sequence: position.sequence,
            event_hash: position.event_hash,
            timestamp: iso8601(self.clock.wall()),
        };
        match anchoring.sink.write(&anchor) {
            Ok(()) => AnchorStatus::Written,
            Err(error) => AnchorStatus::Missing(error.to_string()),
        }
    }
}
