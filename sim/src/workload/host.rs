//! The environment of a process: simulated clock, seeded entropy and simulated
//! network in a world; the real ones under torture.

use std::time::Duration;

use haechi_store_redis::{
    chain::{LostRange, Position},
    clock::Clock,
    entropy::Entropy,
    redis::{Connect, SentinelTimes},
};

use super::{AnchorMedia, KeyFaults, SeenMedia, SharedKeys};
use crate::record::RunRecorder;

/// The environment of the processes of one run.
pub(crate) trait Host: Clone + Send + Sync + 'static {
    /// The clock of a process.
    type Clock: Clock;
    /// The entropy of a process.
    type Entropy: Entropy;
    /// How a process reaches Redis.
    type Connect: Connect;

    /// The run's recorder.
    fn recorder(&self) -> &RunRecorder;

    /// The storage of the keys that all processes share, and what is wrong with
    /// the way of this process to it.
    fn keys(&self, process: usize) -> (SharedKeys, KeyFaults);

    /// The medium on which this process keeps its anchors, whatever becomes of it.
    fn anchor_media(&self, process: usize) -> AnchorMedia;

    /// Where this process keeps what it has seen of the chain, whatever becomes of it.
    fn seen_media(&self, _process: usize) -> Option<SeenMedia> {
        None
    }

    /// What this process had seen that is gone, and the losses that were accepted for it.
    fn accepted(&self, _process: usize) -> Option<(Position, LostRange)> {
        None
    }

    /// Completes when an operator asks this process to accept what its vault has lost.
    fn is_to_accept_vault_loss(&self, _process: usize) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }

    /// This process has accepted it.
    fn vault_loss_accepted(&self, _process: usize) {}

    /// The clock of this process.
    fn clock(&self, process: usize) -> Self::Clock;

    /// The entropy of a process of this name.
    fn entropy(&self, process: &str) -> Self::Entropy;

    /// How this process reaches Redis; where Sentinels name the primary, it asks them at
    /// these times.
    fn connect(&self, process: usize, times: SentinelTimes) -> Self::Connect;

    /// Waits, on behalf of a caller rather than of the store.
    fn sleep(&self, duration: Duration) -> impl Future<Output = ()> + Send;
}
