//! Envelopes, keys and key storage.

mod conformance;
mod counting;
mod envelopes;
mod key_files;
mod secrecy;
mod vectors;

use std::time::Duration;

pub(crate) use haechi_store_redis::test_util::SplitMixEntropy;
use haechi_store_redis::{
    crypto::{Counting, KeyStorage, LocalKeys, MemoryKeys, manage},
    test_util::ManualClock,
};
use serde_json::Value;

/// In the year 2027, when the golden envelopes are valid.
pub(crate) fn clock() -> ManualClock {
    ManualClock::at(Duration::from_millis(1_800_000_000_000))
}

pub(crate) type Keys<K> = LocalKeys<K, ManualClock, SplitMixEntropy>;

/// A provider over `storage`, with a clock of its own.
pub(crate) async fn over<K: KeyStorage>(storage: K) -> Keys<K> {
    LocalKeys::open(
        storage,
        clock(),
        SplitMixEntropy::default(),
        Counting::Persisted,
    )
    .await
    .unwrap()
}

/// Storage with one key.
pub(crate) async fn initialized(entropy: &SplitMixEntropy) -> MemoryKeys {
    let storage = MemoryKeys::new();
    manage::init(&storage, &clock(), entropy).await.unwrap();
    storage
}

/// The content of the storage.
pub(crate) async fn stored(storage: &impl KeyStorage) -> Value {
    serde_json::from_str(&storage.load().await.unwrap().unwrap()).unwrap()
}
