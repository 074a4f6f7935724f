//! A deterministic executor over virtual time.

use std::{
    collections::VecDeque,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex},
    task::{Context, Wake, Waker},
};

use haechi_store_redis::test_util::AutoClock;

type Ready = Arc<Mutex<VecDeque<usize>>>;

struct Task {
    number: usize,
    ready: Ready,
}

impl Wake for Task {
    fn wake(self: Arc<Self>) {
        self.ready.lock().unwrap().push_back(self.number);
    }
}

/// Runs tasks first come, first served.
pub(crate) struct Executor<'a> {
    clock: AutoClock,
    ready: Ready,
    tasks: Vec<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>>,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(clock: AutoClock) -> Self {
        Self {
            clock,
            ready: Ready::default(),
            tasks: Vec::new(),
        }
    }

    pub(crate) fn spawn(&mut self, future: impl Future<Output = ()> + 'a) {
        self.ready.lock().unwrap().push_back(self.tasks.len());
        self.tasks.push(Some(Box::pin(future)));
    }

    pub(crate) fn run_until(&mut self, is_done: impl Fn() -> bool) {
        while !is_done() {
            let next = self.ready.lock().unwrap().pop_front();
            let Some(number) = next else {
                assert!(self.clock.advance(), "all tasks wait for ever");
                continue;
            };
            let waker = Waker::from(Arc::new(Task {
                number,
                ready: self.ready.clone(),
            }));
            if let Some(task) = &mut self.tasks[number] {
                let mut context = Context::from_waker(&waker);
                if task.as_mut().poll(&mut context).is_ready() {
                    self.tasks[number] = None;
                }
            }
        }
    }
}
