//! The queue between callers and the append loop.
//!
//! A caller leaves an event in a [`Slot`] and waits on it; the loop takes
//! slots in order, and settles each exactly once. Built from a mutex, a deque
//! and wakers only, so that a model checker can hold it. It must not know of
//! stores, time or records.
//!
//! A slot's life:
//!
//! ```text
//! Queued ──take──▶ Taken ──seal──▶ InFlight ──settle──▶ Settled
//!    │               │  ◀──return────┘
//!    └──withdraw──▶ Withdrawn ◀──withdraw──┘
//! ```
//!
//! A slot whose caller leaves while it is in flight is withdrawn when it is
//! returned.
//!
//! A caller can withdraw as long as nothing of its event has been sent. Lock
//! order: the queue's state, then a slot's.

use std::{
    collections::VecDeque,
    future::poll_fn,
    task::{Context, Poll, Waker},
};

use super::sink::{Appended, AuditStats};
use crate::{
    chain::{AppendId, Event},
    error::{AppendError, Cause, Handle, NotApplied},
    sync::{Arc, Mutex, lock},
};

/// How an append ended.
pub(crate) type Outcome = Result<Appended, AppendError>;

/// One append on its way.
pub(crate) struct Slot {
    pub(crate) event: Event,
    pub(crate) append_id: AppendId,
    /// The slot's number in order of arrival.
    ticket: u64,
    state: Mutex<SlotState>,
}

struct SlotState {
    phase: Phase,
    /// Whether the caller has gone while the slot was in flight. It may know
    /// the one place where the record can come to stand, so that if the batch
    /// turns out not to be applied, the event must not be sent anywhere else.
    left: bool,
    waker: Option<Waker>,
}

enum Phase {
    /// In the deque.
    Queued,
    /// In the loop's hand, nothing of it sent, or what was sent is known not
    /// to have been applied.
    Taken,
    /// Sent; it may be applied at any moment.
    InFlight(Handle),
    /// `None` once the caller has fetched it.
    Settled(Option<Outcome>),
    Withdrawn,
}

impl Slot {
    /// Puts the slot in flight under the handle that `seal` gives, unless its
    /// caller has withdrawn; settles it if it cannot be sealed.
    pub(crate) fn send_off<T>(
        &self,
        seal: impl FnOnce(&Self) -> Result<(Handle, T), AppendError>,
    ) -> Option<T> {
        let mut state = lock(&self.state);
        if !matches!(state.phase, Phase::Taken) {
            return None;
        }
        match seal(self) {
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

/// The queue of one sink.
pub(crate) struct Queue {
    capacity: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Arc<Slot>>,
    /// Slots in `waiting` whose callers have withdrawn.
    withdrawn: usize,
    /// Tickets handed out, and those that have left `waiting`.
    issued: u64,
    gone: u64,
    /// What the loop holds now, in order.
    in_hand: Vec<Arc<Slot>>,
    last_cause: Option<Cause>,
    stats: AuditStats,
    closing: bool,
    abandoned: bool,
    ended: Option<Vec<Handle>>,
    /// The loop's, while it has nothing to do.
    work_waker: Option<Waker>,
    /// The loop's, always: abandoning interrupts whatever it waits for.
    abandon_waker: Option<Waker>,
    close_wakers: Vec<Waker>,
}

/// How much the loop takes in hand at once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchLimits {
    pub(crate) records: usize,
    pub(crate) bytes: usize,
}

impl Queue {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity,
            state: Mutex::new(State::default()),
        }
    }

    /// Leaves an event behind every earlier one.
    pub(crate) fn enter(
        queue: &Arc<Self>,
        event: Event,
        append_id: AppendId,
    ) -> Result<Ticket, AppendError> {
        let mut state = lock(&queue.state);
        if state.closing || state.ended.is_some() {
            return Err(NotApplied::Closed.into());
        }
        let slot = Arc::new(Slot {
            event,
            append_id,
            ticket: state.issued,
            state: Mutex::new(SlotState {
                phase: Phase::Queued,
                left: false,
                waker: None,
            }),
        });
        state.issued += 1;
        state.waiting.push_back(slot.clone());
        let waker = state.work_waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
        Ok(Ticket {
            queue: queue.clone(),
            slot,
        })
    }

    /// Waits for work: `false` when there is none and will be none.
    pub(crate) async fn work(&self) -> bool {
        poll_fn(|cx| {
            let mut state = lock(&self.state);
            if state.waiting.len() > state.withdrawn || !state.in_hand.is_empty() {
                return Poll::Ready(true);
            }
            if state.closing {
                return Poll::Ready(false);
            }
            state.work_waker = Some(cx.waker().clone());
            Poll::Pending
        })
        .await
    }

    /// Ready once the loop must stop where it stands.
    pub(crate) fn poll_abandoned(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = lock(&self.state);
        if state.abandoned {
            return Poll::Ready(());
        }
        state.abandon_waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Fills the loop's hand up to the limits, drops what was withdrawn, and
    /// shows what is in it, in order. A single event larger than the limit is
    /// a batch of its own.
    pub(crate) fn take(&self, limits: BatchLimits) -> Vec<Arc<Slot>> {
        let mut state = lock(&self.state);
        let state = &mut *state;
        let mut bytes = 0;
        state.in_hand.retain(|slot| {
            let kept = matches!(lock(&slot.state).phase, Phase::Taken);
            bytes += if kept { slot.event.record_len() } else { 0 };
            kept
        });
        while state.in_hand.len() < limits.records {
            let Some(slot) = state.waiting.front() else {
                break;
            };
            let mut slot_state = lock(&slot.state);
            if matches!(slot_state.phase, Phase::Withdrawn) {
                state.withdrawn -= 1;
                drop(slot_state);
                state.waiting.pop_front();
            } else {
                let next = bytes + slot.event.record_len();
                if next > limits.bytes && !state.in_hand.is_empty() {
                    break;
                }
                bytes = next;
                slot_state.phase = Phase::Taken;
                drop(slot_state);
                state.in_hand.extend(state.waiting.pop_front());
            }
            state.gone += 1;
        }
        state.in_hand.clone()
    }

    /// Keeps in hand only what was put in flight: from here to its end, the
    /// hand and the batch are the same, in the same order.
    pub(crate) fn keep_in_flight(&self) {
        lock(&self.state)
            .in_hand
            .retain(|slot| slot.in_flight().is_some());
    }

    /// Takes what is in hand out of flight: its callers can withdraw again, and
    /// those who have gone have withdrawn.
    pub(crate) fn take_back(&self, cause: Option<Cause>) {
        let mut state = lock(&self.state);
        for slot in &state.in_hand {
            let mut slot = lock(&slot.state);
            if matches!(slot.phase, Phase::InFlight(_)) {
                slot.phase = if slot.left {
                    Phase::Withdrawn
                } else {
                    Phase::Taken
                };
            }
        }
        if cause.is_some() {
            state.last_cause = cause;
        }
    }

    /// Settles everything in hand, in order.
    pub(crate) fn settle(&self, mut outcome: impl FnMut(&Slot) -> Outcome) {
        let in_hand = std::mem::take(&mut lock(&self.state).in_hand);
        for slot in in_hand {
            slot.settle(outcome(&slot));
        }
    }

    /// Settles everything in flight as unknown.
    pub(crate) fn settle_unknown(&self, cause: &Cause) {
        self.settle(|slot| {
            Err(match slot.in_flight() {
                Some(handle) => AppendError::Unknown {
                    handle: Box::new(handle),
                    cause: cause.clone(),
                },
                None => NotApplied::Refused(cause.clone()).into(),
            })
        });
    }

    /// Notes what was last heard, for callers whose deadline passes.
    pub(crate) fn heard(&self, cause: Option<Cause>) {
        lock(&self.state).last_cause = cause;
    }

    pub(crate) fn count(&self, update: impl FnOnce(&mut AuditStats)) {
        update(&mut lock(&self.state).stats);
    }

    pub(crate) fn stats(&self) -> AuditStats {
        lock(&self.state).stats
    }

    /// Lets no new event in; the loop ends when it has settled the others.
    pub(crate) fn close(&self) {
        let mut state = lock(&self.state);
        state.closing = true;
        let waker = state.work_waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// Makes the loop stop where it stands.
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

    /// The loop has gone: settles everything that is left.
    pub(crate) fn end(&self) {
        let mut guard = lock(&self.state);
        let state = &mut *guard;
        state.closing = true;
        let left: Vec<_> = state
            .in_hand
            .drain(..)
            .chain(state.waiting.drain(..))
            .collect();
        state.ended = Some(left.iter().filter_map(|slot| slot.in_flight()).collect());
        let wakers = std::mem::take(&mut state.close_wakers);
        drop(guard);
        for slot in left {
            slot.settle(Err(match slot.in_flight() {
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

    /// Waits until the loop has gone; gives what it left in flight.
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

/// A caller's side of a slot. Dropped, it withdraws what has not been sent.
pub(crate) struct Ticket {
    queue: Arc<Queue>,
    slot: Arc<Slot>,
}

impl Ticket {
    /// Waits for the outcome.
    pub(crate) fn poll_settled(&self, cx: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = lock(&self.slot.state);
        if let Phase::Settled(outcome) = &mut state.phase
            && let Some(outcome) = outcome.take()
        {
            return Poll::Ready(outcome);
        }
        state.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    /// Ends the wait: withdraws the event if nothing of it was sent.
    pub(crate) fn give_up(&self) -> Outcome {
        let mut queue = lock(&self.queue.state);
        let mut state = lock(&self.slot.state);
        let in_flight = matches!(state.phase, Phase::InFlight(_));
        let heard = queue.last_cause.clone().unwrap_or_else(|| {
            Cause::new(if in_flight {
                "no reply yet"
            } else {
                "nothing; the events before it took all the time there was"
            })
        });
        match &mut state.phase {
            Phase::Settled(outcome) => outcome
                .take()
                .unwrap_or_else(|| Err(NotApplied::Closed.into())),
            Phase::InFlight(handle) => {
                let handle = Box::new(*handle);
                state.left = true;
                Err(AppendError::Unknown {
                    handle,
                    cause: heard,
                })
            }
            phase => {
                let queued = matches!(phase, Phase::Queued);
                *phase = Phase::Withdrawn;
                drop(state);
                let room = queue.gone.saturating_add(self.queue.capacity as u64);
                if queued {
                    queue.withdrawn += 1;
                    queue.compact();
                }
                Err(if self.slot.ticket < room {
                    NotApplied::Deadline(heard)
                } else {
                    NotApplied::QueueFull
                }
                .into())
            }
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        // The common case needs no lock that others wait for.
        if !matches!(lock(&self.slot.state).phase, Phase::Settled(_)) {
            let _ = self.give_up();
        }
    }
}

impl State {
    /// Lets go of withdrawn slots once they are most of the queue, so that a
    /// long outage does not gather them: constant work per slot on average.
    fn compact(&mut self) {
        if self.withdrawn > 64 && self.withdrawn * 2 > self.waiting.len() {
            self.waiting
                .retain(|slot| !matches!(lock(&slot.state).phase, Phase::Withdrawn));
            self.gone += self.withdrawn as u64;
            self.withdrawn = 0;
        }
    }
}
