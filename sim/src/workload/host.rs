//! What a process runs on. A world gives it a simulated clock, seeded entropy
//! and a simulated network; under torture it has the real ones. What the process
//! does is written once, over this.

use std::time::Duration;

use haechi_store_redis::{clock::Clock, entropy::Entropy, redis::Connect};

use super::SharedKeys;
use crate::record::RunRecorder;

/// What the processes of one run have beneath them.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// The clock of a process.
    type Clock: Clock;
    /// The entropy of a process.
    type Entropy: Entropy;
    /// How a process reaches Redis.
    type Connect: Connect;

    /// Where everything is recorded.
    fn recorder(&self) -> &RunRecorder;

    /// What the processes share beside Redis.
    fn shared_keys(&self) -> &SharedKeys;

    /// The clock of this process.
    fn clock(&self, process: usize) -> Self::Clock;

    /// The entropy of a process of this name.
    fn entropy(&self, process: &str) -> Self::Entropy;

    /// How this process reaches Redis.
    fn connect(&self, process: usize) -> Self::Connect;

    /// Waits, on behalf of a caller rather than of the store.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
