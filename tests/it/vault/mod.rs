//! The token vault.

mod contract;
mod foreign;
mod hard_cases;
mod model;
mod outages;
mod receipts;
mod refusals;
mod tokens;
mod vectors;

use std::{sync::Arc, time::Duration};

use haechi_store_redis::{
    Builder,
    audit::store::AuditStore,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    test_util::ManualClock,
    vault::{
        Deterministic, RevealPolicy, Stored, TokenId, TokenVault, VaultPolicy,
        store::{Diff, VaultStore},
    },
};

fn token(name: &str) -> TokenId {
    TokenId::new(name).unwrap()
}

/// A diff from names and values; `None` deletes.
fn diff(changes: &[(&str, Option<&str>)]) -> Diff {
    changes
        .iter()
        .map(|(name, value)| (token(name), value.map(Stored::from)))
        .collect()
}

/// Milliseconds since the epoch.
fn clock_at(millis: u64) -> ManualClock {
    ManualClock::at(Duration::from_millis(millis))
}

fn days(days: f64) -> Duration {
    Duration::from_secs_f64(days * 86_400.0)
}

type Keys = LocalKeys<MemoryKeys, ManualClock, SystemEntropy>;
type Vault<S> = TokenVault<S, Keys, ManualClock, SystemEntropy>;

/// Keys of a test's own.
async fn keys(storage: &MemoryKeys, clock: &ManualClock) -> Arc<Keys> {
    let keys = LocalKeys::open(
        storage.clone(),
        clock.clone(),
        SystemEntropy,
        Counting::Persisted,
    );
    Arc::new(keys.await.unwrap())
}

async fn new_keys(clock: &ManualClock) -> MemoryKeys {
    let storage = MemoryKeys::new();
    manage::init(&storage, clock, &SystemEntropy).await.unwrap();
    storage
}

/// Deterministic for all types, revealing, over `store` and `chain`.
fn vault<S: VaultStore>(
    store: S,
    chain: impl AuditStore,
    keys: Arc<Keys>,
    clock: &ManualClock,
    deterministic: Deterministic,
) -> Vault<S> {
    let builder = || Builder::new().clock(clock.clone());
    let mut policy = VaultPolicy::default();
    policy.deterministic = deterministic;
    policy.reveal = RevealPolicy::Allowed("local-dev".to_owned());
    let audit = builder().audit_sink(chain);
    builder().token_vault(store, keys, audit, policy)
}
