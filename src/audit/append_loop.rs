//! The append loop, one per process: takes what is queued, seals it onto the
//! head, sends it as a fenced batch, and resolves its outcome.
//!
//! The rules by which an append happens exactly once, even if replies are lost,
//! are all in [`AppendLoop::attempt`]. This module does not depend on any
//! particular store; clock and entropy are injected.

use std::{
    future::{Future, poll_fn},
    pin::pin,
    // Not `crate::sync`: it shares what has its own synchronization.
    sync::Arc as StdArc,
    task::Poll,
    time::Duration,
};

use super::{
    AcceptedLosses,
    anchor_writer::{AnchorQueue, AnchorWriter},
    known::Known,
    queue::{Applied, BatchLimits, Queue, Work},
    store::{AuditStore, Batch, Reply, Seen, Tail},
};
use crate::{
    blocking::RunBlocking,
    chain::{Head, Position, Record},
    clock::Clock,
    durability::{Confirmations, Confirming, Durability, confirmed},
    entropy::{Entropy, Jitter},
    error::{AppendError, AttemptError, Cause, Handle, NotApplied},
    seen::SeenEntry,
    sync::Arc,
    telemetry::{BatchApplied, Telemetry},
};

/// Drives one [`AuditSink`](super::AuditSink): run it as a task of its own.
///
/// Dropping it, or the future of [`run`](Self::run), ends every remaining
/// append: unknown if it was in flight, not applied otherwise.
pub struct AppendLoop<S, C, E> {
    pub(super) store: StdArc<S>,
    pub(super) clock: C,
    pub(super) entropy: E,
    pub(super) queue: QueueEnd,
    pub(super) limits: BatchLimits,
    pub(super) anchors: Option<AnchorQueue>,
    pub(super) anchor_writer: Option<AnchorWriter>,
    /// The last known head; `None` before the first read and whenever it is in
    /// doubt.
    pub(super) head: Option<Head>,
    /// The records in the list in Redis, as far as known: for telemetry.
    pub(super) length: u64,
    /// What this process has seen.
    pub(super) known: Known,
    /// The same from other sources, until the chain was compared with each: a higher
    /// position of one must not hide what another one knows.
    pub(super) others: Vec<Known>,
    /// The last positions of batches that were applied.
    pub(super) confirmations: Confirmations<Position>,
    /// How long a confirmation is tried again.
    pub(super) deadline: Duration,
    pub(super) accepted: AcceptedLosses,
    /// Where what this process has seen is kept.
    pub(super) kept: Option<SeenEntry>,
    pub(super) telemetry: Telemetry,
}

/// Ends the queue when the loop is dropped.
pub(super) struct QueueEnd(pub(super) Arc<Queue>);

impl Drop for QueueEnd {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Minimum and maximum wait between attempts: after a conflict the next attempt
/// may well succeed; after a failure the server has to recover first.
const CONFLICT_WAIT: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(20));
const FAILURE_WAIT: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

/// Attempts between two waits after conflicts. The head that an attempt after a
/// wait is sealed onto is probably outdated; those directly after it can win.
/// With one attempt per wait, a writer that had lost twice starved.
const ATTEMPTS_PER_WAIT: u64 = 3;

/// Why the outcome of a batch can no longer be read.
const TRIMMED: &str = "the chain was trimmed past the append's position before its reply came";

/// The outcome of a batch.
pub(super) enum BatchOutcome {
    /// In the chain, as sealed.
    Applied,
    /// Not in the chain, and no copy of it can be appended later.
    NotApplied(Retry),
    /// Unknown.
    Unknown(Cause),
    /// Not applied, and a retry would not help.
    Fatal(AppendError),
}

/// What to do before the batch is sealed again.
pub(super) enum Retry {
    /// The head has changed, and is known.
    AfterConflict,
    /// The attempt was refused, or failed without effect.
    AfterFailure(Cause),
}

impl<S: AuditStore, C: Clock, E: Entropy> AppendLoop<S, C, E> {
    /// Uses the anchor sink by `run`.
    #[must_use]
    pub fn blocking(mut self, run: RunBlocking) -> Self {
        if let Some(writer) = &mut self.anchor_writer {
            writer.run_blocking = run;
        }
        self
    }

    /// Appends until the sink is closed and the queue is empty, and writes the
    /// anchors and what was seen.
    ///
    /// Files are written on a thread for blocking work of the tokio runtime
    /// that polls this, or, if there is none, on the polling thread; for anchors see
    /// also [`blocking`](Self::blocking).
    pub async fn run(mut self) {
        let queue = self.queue.0.clone();
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let writer = self.anchor_writer.take();
        let kept = self.kept.clone();
        let anchoring = async {
            if let Some(writer) = writer {
                writer.run(&*store, &clock, &queue).await;
            }
        };
        let appending = async {
            self.append_all().await;
            self.anchors = None;
        };
        let mut both = pin!(async { tokio::join!(appending, anchoring) });
        let mut keeping = pin!(async {
            if let Some(kept) = &kept {
                kept.file.keep().await;
            }
        });
        let mut is_kept = kept.is_some();
        let is_done = poll_fn(|cx| match queue.poll_abandoned(cx) {
            Poll::Ready(()) => Poll::Ready(false),
            Poll::Pending => {
                is_kept = is_kept && keeping.as_mut().poll(cx).is_pending();
                both.as_mut().poll(cx).map(|_| true)
            }
        })
        .await;
        if let Some(kept) = &kept {
            let saved = kept.file.save_last();
            // Nobody waits any more for what was abandoned.
            if is_done {
                saved.await;
            }
        }
    }

    async fn append_all(&mut self) {
        if self
            .anchors
            .as_ref()
            .is_some_and(|anchors| anchors.may_lack)
        {
            self.catch_up_anchors().await;
        }
        while let Some(work) = self.queue.0.work().await {
            if let Work::Probe(asked) = work {
                self.probe().await;
                self.queue.0.probed(asked);
                continue;
            }
            let lease = self.store.lease().await;
            let batch = self.telemetry.batch();
            batch.around(self.append_some()).await;
            self.store.release(lease).await;
            if self.learn() {
                // Until that is compared, what this sink has seen is not kept. A rollback is
                // told by the next append.
                let _ = self.find_head().await;
            }
        }
    }

    /// Has the anchors written that are missing of what has been appended so far, if the
    /// chain has what is known of it; they are asked for again with the next ones.
    async fn catch_up_anchors(&mut self) {
        self.probe().await;
        let Some(Head::At(end)) = self.head else {
            return;
        };
        let confirming = self.confirm(end);
        if let Some(anchors) = &mut self.anchors {
            anchors.catch_up(end, confirming);
        }
    }

    /// Compares the chain with what is known, as before a batch.
    async fn probe(&mut self) {
        self.head = None;
        match self.find_head().await {
            Ok(_) => self.queue.0.attempted(|last| last.answered()),
            Err(outcome) => self.note(&outcome),
        }
        self.queue.0.set_refusal(None);
    }

    /// Takes one batch from the queue and resolves it.
    async fn append_some(&mut self) {
        let queue = self.queue.0.clone();
        let mut conflicts = Jitter::new(CONFLICT_WAIT.0, CONFLICT_WAIT.1);
        let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        let mut attempts = 0_u64;
        let began = self.clock.now();
        loop {
            let found = self.find_head().await;
            queue.set_refusal(None);
            let outcome = match found {
                Err(outcome) => {
                    self.note(&outcome);
                    // Only events in hand can be settled; none may be left
                    // behind.
                    if queue.take(self.limits).is_empty() {
                        return;
                    }
                    outcome
                }
                Ok(head) => {
                    let records = self.seal(head);
                    if records.is_empty() {
                        return;
                    }
                    attempts += 1;
                    let outcome = self.attempt(head, &records).await;
                    self.note(&outcome);
                    if let BatchOutcome::Applied = outcome {
                        queue.set_last_cause(None);
                        queue.count(|stats| {
                            stats.batches += 1;
                            stats.appended += records.len() as u64;
                            stats.most_attempts = stats.most_attempts.max(attempts);
                        });
                        self.telemetry.batch_applied(BatchApplied {
                            records: records.len(),
                            attempts,
                            took: self.clock.now().saturating_sub(began),
                        });
                        self.acknowledge(head, &records);
                        return;
                    }
                    outcome
                }
            };
            match outcome {
                BatchOutcome::Applied => return,
                BatchOutcome::NotApplied(Retry::AfterConflict) => {
                    queue.take_back(None);
                    queue.count(|stats| stats.conflicts += 1);
                    self.telemetry.conflict("head");
                    // The conflict returned the new head, so the next attempts
                    // follow at once. Only several conflicts in a row show
                    // contention.
                    if attempts.is_multiple_of(ATTEMPTS_PER_WAIT) {
                        self.clock.sleep(conflicts.next(&self.entropy)).await;
                    }
                }
                BatchOutcome::NotApplied(Retry::AfterFailure(cause)) => {
                    queue.take_back(Some(cause));
                    queue.count(|stats| stats.retries += 1);
                    self.clock.sleep(failures.next(&self.entropy)).await;
                }
                BatchOutcome::Unknown(cause) => return queue.settle_unknown(&cause),
                BatchOutcome::Fatal(error) => return queue.settle(|_| Err(error.clone())),
            }
        }
    }

    /// Keeps what an attempt shows of the health.
    fn note(&self, outcome: &BatchOutcome) {
        let now = self.clock.now();
        let mut known = [&self.known].into_iter().chain(&self.others);
        let rolled_back = known.find_map(|known| known.rolled_back.as_ref());
        if let Some(rolled_back) = rolled_back {
            self.telemetry.rolled_back(rolled_back);
        }
        self.queue.0.attempted(|last| {
            if let Some(rolled_back) = rolled_back {
                return last.refused(now, rolled_back.to_string());
            }
            match outcome {
                BatchOutcome::Applied | BatchOutcome::NotApplied(Retry::AfterConflict) => {
                    last.answered();
                }
                BatchOutcome::NotApplied(Retry::AfterFailure(cause))
                | BatchOutcome::Unknown(cause) => last.failed(now, cause.clone()),
                BatchOutcome::Fatal(error) => last.refused(now, error.to_string()),
            }
        });
    }

    /// Seals the events in hand onto `head` and marks them as in flight.
    fn seal(&mut self, head: Head) -> Vec<Record> {
        let entries = self.queue.0.take(self.limits);
        let mut records = Vec::with_capacity(entries.len());
        let mut last = head;
        for entry in entries {
            let sealed = entry.send(|event| {
                let record = event
                    .seal(Some(&entry.append_id), &last)
                    .map_err(|_| NotApplied::ChainFull)?;
                let handle = Handle {
                    append_id: entry.append_id,
                    base: head,
                    position: Some(record.position()),
                };
                Ok((handle, record))
            });
            if let Some(record) = sealed {
                last = Head::At(record.position());
                records.push(record);
            }
        }
        self.queue.0.keep_in_flight(head);
        records
    }

    /// Sends one batch until its outcome is known.
    ///
    /// A batch that was sent is not altered before that. The reply of its
    /// script tells the outcome. After a lost reply the same batch is sent
    /// again: while the head is its base, one copy commits and the others
    /// conflict; once the head is past the base, and the position last seen is
    /// still in the chain, no copy can commit any more, and the records at the
    /// batch's positions tell whether one has.
    async fn attempt(&mut self, base: Head, records: &[Record]) -> BatchOutcome {
        let queue = self.queue.0.clone();
        let mut failures = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        let (mut resent, mut looked) = (false, false);
        loop {
            let reply = self
                .store
                .append(&Batch {
                    base,
                    records,
                    seen: self.known.seen.last(),
                    resent,
                })
                .await;
            let cause = match (reply, resent) {
                (Ok(Reply::Committed), _) => {
                    if let Some(last) = records.last() {
                        self.saw(last.position());
                    }
                    self.set_length(self.length.saturating_add(records.len() as u64));
                    return BatchOutcome::Applied;
                }
                (Ok(Reply::Conflict { tail, .. }), true)
                    if !looked && matches!(tail.seen, Seen::Gone { .. }) =>
                {
                    // A rollback is looked at again before it is told.
                    looked = true;
                    Cause::new("what this process had seen was gone")
                }
                (Ok(Reply::Conflict { tail, applied }), _) => {
                    return self.conflicted(tail, applied, records, resent);
                }
                (Err(AttemptError::Refused(cause)), false) => {
                    return BatchOutcome::NotApplied(Retry::AfterFailure(cause));
                }
                (Err(AttemptError::Denied(cause)), false) => {
                    return BatchOutcome::Fatal(NotApplied::Refused(cause).into());
                }
                (Err(AttemptError::Corrupt(corrupt)), false) => {
                    self.head = None;
                    return BatchOutcome::Fatal(corrupt.into());
                }
                (Err(AttemptError::Corrupt(corrupt)), true) => {
                    self.head = None;
                    return BatchOutcome::Unknown(Cause::new(corrupt.to_string()));
                }
                // An earlier copy is still unresolved: only a reply about the
                // same batch resolves it.
                (Err(AttemptError::Refused(cause) | AttemptError::Denied(cause)), true) => cause,
                (Err(AttemptError::Ambiguous(cause)), _) => {
                    resent = true;
                    queue.count(|stats| stats.lost_replies += 1);
                    self.telemetry.lost_reply(&cause);
                    cause
                }
            };
            let now = self.clock.now();
            queue.attempted(|last| last.failed(now, cause.clone()));
            queue.set_last_cause(Some(cause));
            queue.count(|stats| stats.retries += 1);
            self.clock.sleep(failures.next(&self.entropy)).await;
        }
    }

    fn conflicted(
        &mut self,
        tail: Tail,
        applied: bool,
        records: &[Record],
        resent: bool,
    ) -> BatchOutcome {
        let adopted = self.adopt(tail);
        if !resent {
            // A rollback is looked at again, for a head to seal onto.
            return BatchOutcome::NotApplied(Retry::AfterConflict);
        }
        if let Err(rolled_back) = adopted {
            return BatchOutcome::Unknown(Cause::new(rolled_back.to_string()));
        }
        if tail.seen == Seen::Trimmed {
            return BatchOutcome::Unknown(Cause::new(TRIMMED));
        }
        let first = records.first().map(Record::position);
        if !applied && tail.is_trimmed_at(first) {
            return BatchOutcome::Unknown(Cause::new(TRIMMED));
        }
        self.queue.0.count(|stats| stats.settled_by_reading += 1);
        if applied {
            BatchOutcome::Applied
        } else {
            BatchOutcome::NotApplied(Retry::AfterConflict)
        }
    }

    /// How callers and anchors hear whether the chain up to `last` is as durable as
    /// asked; `None` if that is known. The next batches do not wait for it.
    fn confirm(&self, last: Position) -> Option<Confirming> {
        if self.store.durability() == Durability::Memory {
            return None;
        }
        let (store, clock) = (self.store.clone(), self.clock.clone());
        let (entropy, limit) = (self.entropy.clone(), self.deadline);
        let confirm = move |batches: Vec<Position>| async move {
            let (count, newest) = (batches.len(), batches.last().copied().unwrap_or(last));
            // What the chain links it to is there too.
            let confirm = || async {
                let status = store.confirm(newest).await?;
                Ok(vec![status; count])
            };
            confirmed(&clock, &entropy, limit, count, confirm).await
        };
        Some(self.confirmations.join(last, confirm))
    }

    /// Passes on the anchors that are due, and wakes the callers.
    fn acknowledge(&mut self, base: Head, records: &[Record]) {
        let last = records.last().map(Record::position);
        let confirming = last.and_then(|last| self.confirm(last));
        let mut due = Vec::new();
        let mut ends = Vec::with_capacity(records.len());
        for record in records {
            let position = record.position();
            let anchors = self.anchors.as_ref();
            let anchor = anchors.and_then(|anchors| anchors.due(position, &self.clock));
            ends.push(Applied {
                position,
                confirming: confirming.clone(),
                anchor: anchor.map(|(anchor, status)| {
                    due.push(anchor);
                    status
                }),
            });
        }
        if let Some(anchors) = &mut self.anchors {
            anchors.push(base, due, confirming);
        }
        let mut ends = ends.into_iter();
        self.queue.0.settle(|_| match ends.next() {
            Some(end) => Ok(end),
            None => Err(NotApplied::Closed.into()),
        });
    }
}
