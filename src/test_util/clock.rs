//! Clocks for tests: one that a test sets, one that advances when every task
//! waits, and one on which waits take no time.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use crate::clock::{Clock, SystemClock};

/// Wall time at which the clocks begin: 2025-10-09T08:53:20Z.
const EPOCH: Duration = Duration::from_secs(1_760_000_000);

/// A clock whose wall time changes only when a test advances it. Its waits are
/// the system's, and are added up.
#[derive(Clone, Debug)]
pub struct ManualClock {
    began: Duration,
    monotonic: SystemClock,
    shared: Arc<Readings>,
}

#[derive(Debug, Default)]
struct Readings {
    passed_millis: AtomicU64,
    slept_micros: AtomicU64,
}

impl ManualClock {
    /// A clock at this time since the epoch.
    #[must_use]
    pub fn at(wall: Duration) -> Self {
        Self {
            began: wall,
            monotonic: SystemClock::new(),
            shared: Arc::default(),
        }
    }

    /// Advances the time.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.shared
            .passed_millis
            .fetch_add(millis, Ordering::Relaxed);
    }

    fn passed(&self) -> Duration {
        Duration::from_millis(self.shared.passed_millis.load(Ordering::Relaxed))
    }

    /// The sum of all completed waits.
    #[must_use]
    pub fn slept(&self) -> Duration {
        Duration::from_micros(self.shared.slept_micros.load(Ordering::Relaxed))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::at(EPOCH)
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        self.monotonic.now() + self.passed()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.began + self.passed()
    }

    async fn sleep(&self, duration: Duration) {
        self.monotonic.sleep(duration).await;
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.shared
            .slept_micros
            .fetch_add(micros, Ordering::Relaxed);
    }
}

/// A clock that advances to the end of the shortest wait when every task waits.
/// [`AutoClock::run`] polls the futures and advances it.
#[derive(Clone, Default)]
pub struct AutoClock(Arc<Mutex<Timeline>>);

#[derive(Default)]
struct Timeline {
    now: Duration,
    timers_made: u64,
    /// By due time, then by creation.
    timers: BTreeMap<(Duration, u64), Waker>,
    waits: Vec<Duration>,
}

impl AutoClock {
    fn timeline(&self) -> MutexGuard<'_, Timeline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Advances to the end of the shortest wait; returns whether there was one.
    #[must_use]
    pub fn advance(&self) -> bool {
        let mut timeline = self.timeline();
        let Some(((due, _), waker)) = timeline.timers.pop_first() else {
            return false;
        };
        timeline.now = timeline.now.max(due);
        drop(timeline);
        waker.wake();
        true
    }

    /// All completed waits, in the order in which they ended.
    #[must_use]
    pub fn waits(&self) -> Vec<Duration> {
        self.timeline().waits.clone()
    }

    /// Runs `future`, which waits only for this clock; `None` if it never
    /// becomes ready.
    pub fn run<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Some(output);
            }
            while !woken.0.swap(false, Ordering::Relaxed) {
                if !self.advance() {
                    return None;
                }
            }
        }
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Clock for AutoClock {
    fn now(&self) -> Duration {
        self.timeline().now
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + EPOCH + self.now()
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        Sleep {
            clock: self.clone(),
            duration,
            until: self.now().saturating_add(duration),
            timer: None,
        }
    }
}

struct Sleep {
    clock: AutoClock,
    duration: Duration,
    until: Duration,
    timer: Option<u64>,
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let clock = self.clock.clone();
        let mut timeline = clock.timeline();
        if timeline.now >= self.until {
            timeline.waits.push(self.duration);
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

/// An unused timeout must not advance the time.
impl Drop for Sleep {
    fn drop(&mut self) {
        if let Some(timer) = self.timer {
            self.clock.timeline().timers.remove(&(self.until, timer));
        }
    }
}

/// A clock that stands still. A wait ends at once: a timeout strikes whenever
/// its future is not ready, and a pause between two attempts lasts as long as
/// the schedule chooses. A wait of [`InstantClock::FOREVER`] or more never
/// ends.
///
/// For model checkers, which try every schedule.
#[derive(Clone, Copy, Debug, Default)]
pub struct InstantClock;

impl InstantClock {
    /// A wait that never ends.
    pub const FOREVER: Duration = Duration::from_secs(3600);
}

impl Clock for InstantClock {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + EPOCH
    }

    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send {
        poll_fn(move |_| {
            if duration < Self::FOREVER {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
    }
}
