//! Operations that go on when their callers have left.

// Not `crate::sync`: a semaphore of tokio and a spawner need the standard one, and no
// model looks at them.
use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use tokio::sync::{Semaphore, oneshot};

use crate::clock::{Clock, within};

/// An operation that is carried out to its end.
pub type Task = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Runs a task to its end, whoever waits for it: [`tokio::spawn`], for example.
pub type Spawn = Arc<dyn Fn(Task) + Send + Sync>;

/// How many of a vault's operations run at a time; more wait.
const AT_ONCE: u32 = 1024;

/// Starts tasks until it is closed. Clones share the limit and the end.
#[derive(Clone)]
pub(super) struct Tasks {
    spawn: Spawn,
    room: Arc<Semaphore>,
}

/// Why an operation has no result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoResult {
    /// It was not started: the vault is closed.
    Closed,
    /// It was started, and the runtime ended before it did.
    Abandoned,
}

impl Tasks {
    pub(super) fn new(spawn: Spawn) -> Self {
        Self {
            spawn,
            room: Arc::new(Semaphore::new(AT_ONCE as usize)),
        }
    }

    /// Carries out `operation`, and after its result was given out what it returns
    /// besides. Dropping the future stops it only while it waits to start.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        operation: impl Future<Output = (T, Option<Task>)> + Send + 'static,
    ) -> Result<T, NoResult> {
        let room = self.room.clone().acquire_owned().await;
        let room = room.map_err(|_| NoResult::Closed)?;
        let (send, receive) = oneshot::channel();
        (self.spawn)(Box::pin(async move {
            let (result, after) = operation.await;
            // The caller may have left.
            let _ = send.send(result);
            if let Some(after) = after {
                after.await;
            }
            drop(room);
        }));
        receive.await.map_err(|_| NoResult::Abandoned)
    }

    /// Starts nothing more, and waits at most so long for what runs; returns whether
    /// it has ended.
    pub(super) async fn close(&self, clock: &impl Clock, deadline: Duration) -> bool {
        let ended = within(clock, deadline, self.room.acquire_many(AT_ONCE)).await;
        self.room.close();
        // An error: it was closed before.
        ended.is_some_and(|ended| ended.is_ok())
            || self.room.available_permits() == AT_ONCE as usize
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::test_util::AutoClock;

    /// Would catch a close that says that all has ended while an operation still
    /// runs, that stops it, or that lets another one begin.
    #[test]
    fn closing_says_whether_all_has_ended() {
        let clock = AutoClock::default();
        let spawned = Arc::new(Mutex::new(Vec::new()));
        let keep = spawned.clone();
        let tasks = Tasks::new(Arc::new(move |task| keep.lock().unwrap().push(task)));
        let mut running = Box::pin(tasks.run(async { (1, None) }));
        assert_eq!(clock.run(&mut running), None);
        let close = || {
            clock
                .run(tasks.close(&clock, Duration::from_secs(1)))
                .unwrap()
        };
        assert!(!close());
        let refused = clock.run(tasks.run(async { (2, None) }));
        assert_eq!(refused, Some(Err(NoResult::Closed)));
        let task = spawned.lock().unwrap().pop().unwrap();
        clock.run(task).unwrap();
        assert_eq!(clock.run(running), Some(Ok(1)));
        assert!(close());
    }
}
