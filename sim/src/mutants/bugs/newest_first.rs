//! Of the callers that wait, the one that came last is served first.

use haechi_store_redis::{
    AppendError,
    audit::{Appended, AuditSink},
    chain::{AppendId, Event},
    clock::Clock,
    entropy::Entropy,
};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::mutants::bug::PlantedBug;

/// Appends that are given to a sink at a time.
const AT_ONCE: usize = 8;

#[derive(Default)]
pub(in crate::mutants) struct NewestFirst(Mutex<State>);

#[derive(Default)]
struct State {
    under_way: usize,
    waiting: Vec<oneshot::Sender<()>>,
}

impl NewestFirst {
    fn enter(&self) -> Option<oneshot::Receiver<()>> {
        let mut state = self.0.lock();
        if state.under_way < AT_ONCE {
            state.under_way += 1;
            return None;
        }
        let (turn, wait) = oneshot::channel();
        state.waiting.push(turn);
        Some(wait)
    }
}

/// An append's place, which the newest that waits gets next, or its wait for one.
struct Place<'a> {
    of: &'a NewestFirst,
    wait: Option<oneshot::Receiver<()>>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let is_waiting = |wait: &mut oneshot::Receiver<()>| wait.try_recv().is_err();
        if self.wait.as_mut().is_some_and(is_waiting) {
            return;
        }
        let mut state = self.of.0.lock();
        while let Some(newest) = state.waiting.pop() {
            if newest.send(()).is_ok() {
                return;
            }
        }
        state.under_way -= 1;
    }
}

impl PlantedBug for NewestFirst {
    async fn record<C: Clock, E: Entropy>(
        &self,
        sink: &AuditSink<C, E>,
        append_id: AppendId,
        event: Event,
    ) -> Result<Appended, AppendError> {
        let mut place = Place {
            of: self,
            wait: self.enter(),
        };
        if let Some(turn) = &mut place.wait {
            let _ = turn.await;
            place.wait = None;
        }
        sink.record_as(append_id, event).await
    }
}
