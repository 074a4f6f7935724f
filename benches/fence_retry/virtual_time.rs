//! Virtual time, which advances when every task waits, and an executor over it:
//! the same tasks run in the same order every time.

use std::{
    collections::{BTreeMap, VecDeque},
    future::Future,
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard},
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{clock::Clock, entropy::Entropy};

#[derive(Clone, Default)]
pub(crate) struct VirtualClock(Arc<Mutex<Timeline>>);

#[derive(Default)]
struct Timeline {
    now: Duration,
    timers_made: u64,
    /// By when they are due, then by when they were made.
    timers: BTreeMap<(Duration, u64), Waker>,
}

impl VirtualClock {
    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.0.lock().unwrap()
    }

    /// Goes to the next timer; tells whether there was one.
    fn advance(&self) -> bool {
        let mut timeline = self.timeline();
        let Some(((due, _), waker)) = timeline.timers.pop_first() else {
            return false;
        };
        timeline.now = timeline.now.max(due);
        drop(timeline);
        waker.wake();
        true
    }
}

impl Clock for VirtualClock {
    fn now(&self) -> Duration {
        self.timeline().now
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(1_760_000_000_000) + self.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        Sleep {
            clock: self.clone(),
            until: self.now().saturating_add(duration),
            timer: None,
        }
    }
}

struct Sleep {
    clock: VirtualClock,
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut timeline = clock.timeline();
        if timeline.now >= self.until {
            return Poll::Ready(());
        }
        let timer = *self.timer.get_or_insert_with(|| {
            timeline.timers_made += 1;
            timeline.timers_made
        });
        let waker = context.waker().clone();
        timeline.timers.insert((self.until, timer), waker);
        Poll::Pending
    }
}

/// A time-out that was not needed must not make time pass.
impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.clock.timeline().timers.remove(&(self.until, timer));
        }
    }
}

/// SplitMix64 over a counter.
#[derive(Clone, Default)]
pub(crate) struct Seeded(Arc<Mutex<u64>>);

impl Seeded {
    pub(crate) fn draw(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

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
    clock: VirtualClock,
    ready: Ready,
    tasks: Vec<Option<Pin<Box<dyn Future<Output = ()> + 'a>>>>,
}

impl<'a> Executor<'a> {
    pub(crate) fn new(clock: VirtualClock) -> Self {
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
                assert!(self.clock.advance(), "everybody waits, for nothing");
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
