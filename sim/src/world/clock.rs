//! Time and entropy inside a world: the only module of the simulation that may
//! touch tokio's timers.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{clock::Clock, entropy::Entropy};
use parking_lot::Mutex;
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use crate::record::RunRecorder;

/// Wall time at the start of every world: 2025-10-09T08:53:20Z.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_760_000_000);

/// Simulated time since the world began.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Waits for simulated time to pass.
#[expect(
    clippy::disallowed_methods,
    reason = "tokio's timers run on simulated time here"
)]
pub(crate) async fn sleep(duration: Duration) {
    tokio::time::sleep(duration).await;
}

/// Pauses and resumes a process: while paused, it receives neither timers nor
/// bytes.
#[derive(Clone, Default)]
pub(crate) struct PauseGate(Arc<Mutex<GateState>>);

#[derive(Default)]
struct GateState {
    paused: bool,
    waiting: Vec<Waker>,
}

impl PauseGate {
    pub(crate) fn pause(&self) {
        self.0.lock().paused = true;
    }

    pub(crate) fn resume(&self) {
        let waiting = {
            let mut state = self.0.lock();
            state.paused = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready while the process runs.
    pub(crate) fn poll_running(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.0.lock();
        if state.paused {
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }
}

/// The clock of one simulated process.
#[derive(Clone)]
pub(crate) struct SimClock {
    gate: PauseGate,
    /// What the nemesis has added to the wall clock, in milliseconds.
    skew: Arc<AtomicI64>,
}

impl SimClock {
    pub(crate) fn new(gate: PauseGate, skew: Arc<AtomicI64>) -> Self {
        Self { gate, skew }
    }
}

impl Clock for SimClock {
    fn now(&self) -> Duration {
        elapsed()
    }

    fn wall(&self) -> SystemTime {
        let skew = self.skew.load(Ordering::Relaxed);
        let distance = Duration::from_millis(skew.unsigned_abs());
        let now = EPOCH + elapsed();
        let now = if skew < 0 {
            now.saturating_sub(distance)
        } else {
            now + distance
        };
        UNIX_EPOCH + now
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
        std::future::poll_fn(|cx| self.gate.poll_running(cx)).await;
    }
}

/// The randomness of one simulated process.
#[derive(Clone)]
pub(crate) struct SeededEntropy {
    generator: Arc<Mutex<ChaCha8Rng>>,
    /// Is told of what is as long as an id.
    recorder: RunRecorder,
}

impl SeededEntropy {
    pub(crate) fn new(generator: ChaCha8Rng, recorder: RunRecorder) -> Self {
        Self {
            generator: Arc::new(Mutex::new(generator)),
            recorder,
        }
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.generator.lock().fill_bytes(bytes);
        if let Ok(id) = <[u8; 16]>::try_from(&*bytes) {
            self.recorder.drew(id);
        }
        Ok(())
    }
}
