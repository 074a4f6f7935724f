//! Envelopes, keys and key storage.

mod conformance;
mod counting;
mod envelopes;
mod key_files;
mod secrecy;
mod vectors;

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{
    clock::Clock,
    crypto::{Counting, KeyStorage, LocalKeys, MemoryKeys, manage},
    entropy::Entropy,
};
use serde_json::Value;

/// A clock that stands until it is set: milliseconds since the epoch, and
/// monotonic ones alike.
#[derive(Clone, Debug)]
pub(crate) struct SetClock(Arc<AtomicU64>);

impl SetClock {
    /// In the year 2027, when the golden envelopes were young.
    pub(crate) fn new() -> Self {
        Self(Arc::new(AtomicU64::new(1_800_000_000_000)))
    }

    pub(crate) fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for SetClock {
    fn now(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + self.now()
    }

    async fn sleep(&self, _: Duration) {
        panic!("nothing here sleeps");
    }
}

/// Bytes that are never the same twice, and the same in every run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted(Arc<AtomicU64>);

impl Entropy for Counted {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let next = self.0.fetch_add(1, Ordering::Relaxed);
            let mixed = (next + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            chunk.copy_from_slice(&mixed.to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

pub(crate) type Keys<K> = LocalKeys<K, SetClock, Counted>;

/// A provider over `storage`, with a clock of its own.
pub(crate) async fn over<K: KeyStorage>(storage: K) -> Keys<K> {
    LocalKeys::open(
        storage,
        SetClock::new(),
        Counted::default(),
        Counting::Persisted,
    )
    .await
    .unwrap()
}

/// Storage with one key.
pub(crate) async fn initialized(entropy: &Counted) -> MemoryKeys {
    let storage = MemoryKeys::new();
    manage::init(&storage, &SetClock::new(), entropy)
        .await
        .unwrap();
    storage
}

/// What the storage holds.
pub(crate) async fn stored(storage: &impl KeyStorage) -> Value {
    serde_json::from_str(&storage.load().await.unwrap().unwrap()).unwrap()
}
