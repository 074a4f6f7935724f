//! Time and randomness inside a world: the only module of the simulation that may
//! touch tokio's timers.

use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    task::{Context, Poll, Waker},
    time::Duration,
};

use haechi_store_redis::{clock::Clock, entropy::Entropy};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

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

/// Stops a process where it stands, and lets it go on: while it is closed,
/// neither timers nor bytes reach the process.
#[derive(Clone, Default)]
pub(crate) struct PauseGate(Arc<Mutex<GateState>>);

#[derive(Default)]
struct GateState {
    paused: bool,
    waiting: Vec<Waker>,
}

impl PauseGate {
    pub(crate) fn pause(&self) {
        self.state().paused = true;
    }

    pub(crate) fn resume(&self) {
        let waiting = {
            let mut state = self.state();
            state.paused = false;
            std::mem::take(&mut state.waiting)
        };
        waiting.into_iter().for_each(Waker::wake);
    }

    /// Ready while the process runs.
    pub(crate) fn poll_running(&self, cx: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.paused {
            state.waiting.push(cx.waker().clone());
            Poll::Pending
        } else {
            Poll::Ready(())
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, GateState> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The clock of one simulated process.
#[derive(Clone)]
pub(crate) struct SimClock {
    gate: PauseGate,
    /// What the nemesis has done to the wall clock, in milliseconds.
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

    fn wall(&self) -> Duration {
        let skew = self.skew.load(Ordering::Relaxed);
        let distance = Duration::from_millis(skew.unsigned_abs());
        let now = EPOCH + elapsed();
        if skew < 0 {
            now.saturating_sub(distance)
        } else {
            now + distance
        }
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
        std::future::poll_fn(|cx| self.gate.poll_running(cx)).await;
    }
}

/// A generator for one purpose of one world; other purposes draw nothing from
/// it, so that adding a draw in one place does not reshuffle all others.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&super::trace::fnv1a(purpose.as_bytes()).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

/// The randomness of one simulated process.
#[derive(Clone)]
pub(crate) struct SeededEntropy(Arc<Mutex<ChaCha8Rng>>);

impl SeededEntropy {
    pub(crate) fn new(generator: ChaCha8Rng) -> Self {
        Self(Arc::new(Mutex::new(generator)))
    }
}

impl Entropy for SeededEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .fill_bytes(bytes);
        Ok(())
    }
}
