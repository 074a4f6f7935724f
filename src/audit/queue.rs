//! The queue between callers and the append loop.
//!
//! A caller puts an event into an [`Entry`] and waits on it; the loop takes
//! entries in order, and settles each exactly once. Built only from a mutex, a
//! deque and wakers, so that loom can check it.
//!
//! The states of an entry:
//!
//! ```text
//! Queued ──take──▶ Taken ──seal──▶ InFlight ──settle──▶ Settled
//!    │               │  ◀──return────┘
//!    └──withdraw──▶ Withdrawn ◀──withdraw──┘
//! ```
//!
//! An entry whose caller leaves while it is in flight is withdrawn when it is
//! returned. A caller can withdraw as long as nothing of its event has been
//! sent.
//!
//! Lock order: the queue's state, then an entry's.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, Waker},
    time::Duration,
};

use tokio::sync::oneshot;

use super::sink::{AnchorStatus, AuditStats};
use crate::{
    chain::{AppendId, Event, Head, Position},
    durability::Confirming,
    error::{AppendError, Cause, Corrupt, Handle, NotApplied},
    health::{Health, LastAttempt},
    sync::{Arc, Mutex, lock},
    telemetry::{Depth, Telemetry},
};

/// How an append ended.
pub(crate) type Outcome = Result<Applied, AppendError>;

/// A record in the chain.
pub(crate) struct Applied {
    pub(crate) position: Position,
    /// How it becomes as durable as asked, if that is more than applied.
    pub(crate) confirming: Option<Confirming>,
    /// What becomes of its anchor, if one is due.
    pub(crate) anchor: Option<oneshot::Receiver<AnchorStatus>>,
}

/// One append in progress.
pub(crate) struct Entry {
    pub(crate) append_id: AppendId,
    /// The entry's number in order of arrival.
    ticket: u64,
    state: Mutex<EntryState>,
}

struct EntryState {
    phase: Phase,
    /// `None` once it will not be sent any more: whoever holds the entry then
    /// must not hold the event's memory.
    event: Option<Event>,
    /// Whether the caller has left while the entry was in flight. The caller
    /// may have the handle, which names one position: if the batch is not
    /// applied, the event must not be sent for another position.
    left: bool,
    /// Whether the attempt in flight is the last: the caller's time is too short
    /// for another one.
    is_last: bool,
    waker: Option<Waker>,
}

enum Phase {
    /// In the deque.
    Queued,
    /// Taken by the loop; nothing of it was sent, or what was sent is known not
    /// to have been applied.
    Taken,
    /// Sent; it may be applied at any moment.
    InFlight(Handle),
    /// `None` once the caller has fetched it.
    Settled(Option<Outcome>),
    Withdrawn,
}

impl Entry {
    /// Marks the entry as in flight under the handle from `seal`, unless its
    /// caller has withdrawn; settles it if it cannot be sealed.
    pub(crate) fn send<T>(
        &self,
        seal: impl FnOnce(&Event) -> Result<(Handle, T), AppendError>,
    ) -> Option<T> {
        let mut state = lock(&self.state);
        let (Phase::Taken, Some(event)) = (&state.phase, &state.event) else {
            return None;
        };
        match seal(event) {
            Ok((handle, sealed)) => {
                state.phase = Phase::InFlight(handle);
                Some(sealed)
            }
            Err(error) => {
                drop(state);
                self.settle(Err(error));
                None
            }
        }
    }

    fn settle(&self, outcome: Outcome) {
        let mut state = lock(&self.state);
        if matches!(state.phase, Phase::Settled(_) | Phase::Withdrawn) {
            return;
        }
        state.phase = Phase::Settled(Some(outcome));
        state.event = None;
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn in_flight(&self) -> Option<Handle> {
        match lock(&self.state).phase {
            Phase::InFlight(handle) => Some(handle),
            _ => None,
        }
    }
}

impl EntryState {
    /// The bytes of its record; 0 once it will not be sent any more.
    fn record_len(&self) -> usize {
        self.event.as_ref().map_or(0, Event::record_len)
    }
}

/// The queue of one sink.
pub(crate) struct Queue {
    capacity: usize,
    /// The most [`State::bytes`], unless one entry has more.
    max_bytes: usize,
    telemetry: Telemetry,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Entry>>,
    /// The bytes of the records in `waiting`.
    bytes: usize,
    /// Entries in `waiting` whose callers have withdrawn.
    withdrawn: usize,
    /// Tickets issued, and those that have left `waiting`.
    issued: u64,
    gone: u64,
    /// The entries that the loop has taken, in order.
    taken: Vec<Arc<Entry>>,
    last_cause: Option<Cause>,
    /// Why nothing is sent now, told to callers whose deadlines pass meanwhile.
    refusal: Option<Corrupt>,
    /// The head that the last batch was sealed onto: what is sealed later stands
    /// after it.
    base: Head,
    stats: AuditStats,
    last_attempt: LastAttempt,
    /// How often a caller has asked for a probe, and the loop has made one since.
    probes_asked: u64,
    probes_made: u64,
    probe_wakers: Vec<Waker>,
    closing: bool,
    abandoned: bool,
    ended: Option<Vec<Handle>>,
    /// The loop's waker while it waits for work.
    work_waker: Option<Waker>,
    /// The loop's waker at any time: abandoning interrupts every wait.
    abandon_waker: Option<Waker>,
    close_wakers: Vec<Waker>,
}

/// What the loop does next.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Work {
    /// Compare the chain with what is known; how often that was asked for.
    Probe(u64),
    Append,
}

/// How much the loop takes at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Queue {
    /// A queue of a process that has seen `base`.
    pub(crate) fn new(capacity: usize, max_bytes: usize, base: Head, telemetry: Telemetry) -> Self {
        Self {
            capacity,
            max_bytes,
            telemetry,
            state: Mutex::new(State {
                base,
                ..State::default()
            }),
        }
    }

    /// Changes what waits or is in flight, and tells it once the lock is released.
    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let mut state = lock(&self.state);
        let before = state.depth();
        let changed = change(&mut state);
        let now = state.depth();
        drop(state);
        self.telemetry.queue(before, now);
        changed
    }

    /// A record that what enters now will stand after.
    pub(crate) fn base(&self) -> Head {
        lock(&self.state).base
    }

    /// Queues an event behind all earlier ones.
    pub(crate) fn enter(
        queue: &Arc<Self>,
        event: Event,
        append_id: AppendId,
    ) -> Result<Ticket, AppendError> {
        let (entry, waker) = queue.change(|state| {
            if state.closing || state.ended.is_some() {
                return Err(NotApplied::Closed);
            }
            let bytes = state.bytes.saturating_add(event.record_len());
            if bytes > queue.max_bytes && state.bytes > 0 {
                return Err(NotApplied::Overloaded);
            }
            state.bytes = bytes;
            let entry = Arc::new(Entry {
                append_id,
                ticket: state.issued,
                state: Mutex::new(EntryState {
                    phase: Phase::Queued,
                    event: Some(event),
                    left: false,
                    is_last: false,
                    waker: None,
                }),
            });
            state.issued += 1;
            state.waiting.push_back(entry.clone());
            Ok((entry, state.work_waker.take()))
        })?;
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Ticket {
            queue: queue.clone(),
            entry,
        })
    }

    /// Waits for work; `None` if there is none and the queue is closed.
    pub(crate) async fn work(&self) -> Option<Work> {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.probes_made < state.probes_asked {
                return Poll::Ready(Some(Work::Probe(state.probes_asked)));
            }
            if state.waiting.len() > state.withdrawn || !state.taken.is_empty() {
                return Poll::Ready(Some(Work::Append));
            }
            if state.closing {
                return Poll::Ready(None);
            }
            state.work_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Asks the loop for a probe, and waits until one that began later was made, or the
    /// loop has ended.
    pub(crate) async fn probe(&self) {
        let (number, waker) = {
            let mut state = lock(&self.state);
            state.probes_asked += 1;
            (state.probes_asked, state.work_waker.take())
        };
        if let Some(waker) = waker {
            waker.wake();
        }
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.probes_made >= number || state.ended.is_some() {
                return Poll::Ready(());
            }
            state.probe_wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await;
    }

    /// The loop has made the probe that was asked for so often.
    pub(crate) fn probed(&self, asked: u64) {
        let mut state = lock(&self.state);
        state.probes_made = asked;
        let wakers = std::mem::take(&mut state.probe_wakers);
        drop(state);
        for waker in wakers {
            waker.wake();
        }
    }

    /// Ready once the loop must stop at once.
    pub(crate) fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.abandoned {
            return Poll::Ready(());
        }
        state.abandon_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Takes entries up to the limits, drops withdrawn ones, and returns what
    /// is taken, in order. An event larger than the limit forms a batch of its
    /// own.
    pub(crate) fn take(&self, limits: BatchLimits) -> Vec<Arc<Entry>> {
        self.change(|state| state.take(limits))
    }

    /// Keeps only the entries in flight: from here on, what is taken is the
    /// batch, in the same order, sealed onto `base`.
    pub(crate) fn keep_in_flight(&self, base: Head) {
        self.change(|state| {
            state.base = base;
            state.taken.retain(|entry| entry.in_flight().is_some());
        });
    }

    /// Returns the batch from flight: its callers can withdraw again, those that
    /// have left have withdrawn, and those that have no time for another attempt
    /// are told that this one was not applied.
    pub(crate) fn take_back(&self, cause: Option<Cause>) {
        let mut state = lock(&self.state);
        if cause.is_some() {
            state.last_cause = cause;
        }
        let mut late = Vec::new();
        for entry in &state.taken {
            let mut entry_state = lock(&entry.state);
            if matches!(entry_state.phase, Phase::InFlight(_)) {
                entry_state.phase = if entry_state.left {
                    Phase::Withdrawn
                } else {
                    Phase::Taken
                };
                if entry_state.is_last {
                    late.push(entry.clone());
                }
            }
        }
        let last_cause = state.last_cause.clone();
        drop(state);
        let cause = last_cause
            .unwrap_or_else(|| Cause::new("other writers appended first, at every attempt"));
        for entry in late {
            entry.settle(Err(NotApplied::Deadline(cause.clone()).into()));
        }
    }

    /// Settles everything taken, in order.
    pub(crate) fn settle(&self, mut outcome: impl FnMut(&Entry) -> Outcome) {
        let taken = self.change(|state| std::mem::take(&mut state.taken));
        for entry in taken {
            entry.settle(outcome(&entry));
        }
    }

    /// Settles everything in flight as unknown.
    pub(crate) fn settle_unknown(&self, cause: &Cause) {
        self.settle(|entry| {
            Err(match entry.in_flight() {
                Some(handle) => AppendError::Unknown {
                    handle: Box::new(handle),
                    cause: cause.clone(),
                },
                None => NotApplied::Refused(cause.clone()).into(),
            })
        });
    }

    /// Stores the cause of the last failure, for callers whose deadline passes.
    pub(crate) fn set_last_cause(&self, cause: Option<Cause>) {
        lock(&self.state).last_cause = cause;
    }

    /// What a caller whose deadline passes before its event is sent is told, rather
    /// than the last cause.
    pub(crate) fn set_refusal(&self, refusal: Option<Corrupt>) {
        lock(&self.state).refusal = refusal;
    }

    pub(crate) fn count(&self, update: impl FnOnce(&mut AuditStats)) {
        update(&mut lock(&self.state).stats);
    }

    /// What an attempt has shown.
    pub(crate) fn attempted(&self, show: impl FnOnce(&mut LastAttempt)) {
        show(&mut lock(&self.state).last_attempt);
    }

    pub(crate) fn health(&self, now: Duration) -> Health {
        let state = lock(&self.state);
        match state.closing {
            true => Health::Closed,
            false => state.last_attempt.health(now),
        }
    }

    pub(crate) fn stats(&self) -> AuditStats {
        lock(&self.state).stats
    }

    /// Refuses new events; the loop ends when it has settled the others.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        let waker = state.work_waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes the loop stop at once.
    pub(crate) fn abandon(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        state.abandoned = true;
        let waker = state.abandon_waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// The loop has ended: settles everything that is left.
    pub(crate) fn end(&self) {
        let (left, wakers) = self.change(|state| {
            state.closing = true;
            (state.bytes, state.withdrawn) = (0, 0);
            let taken = state.taken.drain(..);
            let left: Vec<_> = taken.chain(state.waiting.drain(..)).collect();
            state.ended = Some(left.iter().filter_map(|entry| entry.in_flight()).collect());
            let mut wakers = std::mem::take(&mut state.close_wakers);
            wakers.append(&mut state.probe_wakers);
            (left, wakers)
        });
        for entry in left {
            entry.settle(Err(match entry.in_flight() {
                Some(handle) => AppendError::Unknown {
                    handle: Box::new(handle),
                    cause: Cause::new("the sink was closed before the reply came"),
                },
                None => NotApplied::Closed.into(),
            }));
        }
        for waker in wakers {
            waker.wake();
        }
    }

    /// Waits until the loop has ended; returns what was in flight then.
    pub(crate) async fn ended(&self) -> Vec<Handle> {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if let Some(open) = &state.ended {
                return Poll::Ready(open.clone());
            }
            state.close_wakers.push(cx.waker().clone());
            Poll::Pending
        })
        .await
    }
}

/// A caller's side of an entry. Dropping it withdraws an event that was not
/// sent.
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    entry: Arc<Entry>,
}

impl Ticket {
    pub(crate) fn append_id(&self) -> &AppendId {
        &self.entry.append_id
    }

    /// Waits for the outcome.
    pub(crate) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = lock(&self.entry.state);
        if let Phase::Settled(outcome) = &mut state.phase
            && let Some(outcome) = outcome.take()
        {
            return Poll::Ready(outcome);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Has the event sent no more: withdraws it if nothing of it was sent. `None`
    /// if it is in flight: its outcome is still to come.
    pub(crate) fn stop_attempts(&self) -> Option<Outcome> {
        self.leave(true)
    }

    /// Stops waiting: withdraws the event if nothing of it was sent.
    pub(crate) fn give_up(&self) -> Outcome {
        self.leave(false)
            .unwrap_or_else(|| Err(NotApplied::Closed.into()))
    }

    fn leave(&self, waits_for_reply: bool) -> Option<Outcome> {
        self.queue.change(|queue| {
            let mut state = lock(&self.entry.state);
            let in_flight = matches!(state.phase, Phase::InFlight(_));
            let last_cause = queue.last_cause.clone().unwrap_or_else(|| {
                Cause::new(if in_flight {
                    "no reply yet"
                } else {
                    "no error; earlier events used up the time"
                })
            });
            match &mut state.phase {
                Phase::Settled(outcome) => outcome.take(),
                Phase::InFlight(_) if waits_for_reply => {
                    state.is_last = true;
                    None
                }
                Phase::InFlight(handle) => {
                    let handle = Box::new(*handle);
                    state.left = true;
                    Some(Err(AppendError::Unknown {
                        handle,
                        cause: last_cause,
                    }))
                }
                phase => {
                    let queued = matches!(phase, Phase::Queued);
                    *phase = Phase::Withdrawn;
                    let event = state.event.take();
                    drop(state);
                    let room = queue.gone.saturating_add(self.queue.capacity as u64);
                    // The end has taken it out of the queue.
                    if queued && queue.ended.is_none() {
                        queue.bytes -= event.map_or(0, |event| event.record_len());
                        queue.withdrawn += 1;
                        queue.compact();
                    }
                    Some(Err(match queue.refusal.clone() {
                        Some(corrupt) => corrupt.into(),
                        None if self.entry.ticket < room => NotApplied::Deadline(last_cause).into(),
                        None => NotApplied::QueueFull.into(),
                    }))
                }
            }
        })
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // In the common case the queue's lock is not needed.
        if !matches!(lock(&self.entry.state).phase, Phase::Settled(_)) {
            let _ = self.give_up();
        }
    }
}

impl State {
    fn depth(&self) -> Depth {
        Depth {
            events: self.waiting.len() - self.withdrawn,
            bytes: self.bytes,
            in_flight: self.taken.len(),
        }
    }

    /// [`Queue::take`].
    fn take(&mut self, limits: BatchLimits) -> Vec<Arc<Entry>> {
        let mut bytes = 0;
        self.taken.retain(|entry| {
            let entry = lock(&entry.state);
            let kept = matches!(entry.phase, Phase::Taken);
            bytes += if kept { entry.record_len() } else { 0 };
            kept
        });
        while self.taken.len() < limits.records {
            let Some(entry) = self.waiting.front() else {
                break;
            };
            let mut entry_state = lock(&entry.state);
            if matches!(entry_state.phase, Phase::Withdrawn) {
                self.withdrawn -= 1;
                drop(entry_state);
                self.waiting.pop_front();
            } else {
                let length = entry_state.record_len();
                if bytes + length > limits.bytes && !self.taken.is_empty() {
                    break;
                }
                bytes += length;
                self.bytes -= length;
                entry_state.phase = Phase::Taken;
                drop(entry_state);
                self.taken.extend(self.waiting.pop_front());
            }
            self.gone += 1;
        }
        self.taken.clone()
    }

    /// Removes withdrawn entries once they are most of the queue, so that they
    /// do not pile up during a long outage: amortized O(1) per entry.
    fn compact(&mut self) {
        if self.withdrawn > 64 && self.withdrawn * 2 > self.waiting.len() {
            self.waiting
                .retain(|entry| !matches!(lock(&entry.state).phase, Phase::Withdrawn));
            self.gone += self.withdrawn as u64;
            self.withdrawn = 0;
        }
    }
}
