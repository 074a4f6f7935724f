//! What a process runs on. A world gives it a simulated clock, seeded randomness and
//! a simulated network; under torture it has the real ones. What the process
//! does is written once, over this.
//!
//! It must not know of faults: they come from beneath.

use std::time::Duration;

use haechi_store_redis::{clock::Clock, entropy::Entropy, redis::Connect};

use super::{ledger::Ledger, vault::Safe};

/// What the processes of one run have beneath them.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// The clock of a process.
    type Clock: Clock;
    /// The randomness of a process.
    type Entropy: Entropy;
    /// How a process reaches Redis.
    type Connect: Connect;

    /// Where everything is written down.
    fn ledger(&self) -> &Ledger;

    /// What the processes share beside Redis.
    fn safe(&self) -> &Safe;

    /// The clock of this process.
    fn clock(&self, process: usize) -> Self::Clock;

    /// The randomness of a process of this name.
    fn entropy(&self, process: &str) -> Self::Entropy;

    /// The way of this process to Redis.
    fn connect(&self, process: usize) -> Self::Connect;

    /// Waits, on behalf of a caller rather than of the store.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
