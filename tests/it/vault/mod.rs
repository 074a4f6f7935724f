//! The token vault.

mod audited;
mod clocks;
mod deadlines;
mod foreign;
mod health;
mod late;
mod model;
mod readiness;
mod receipts;
mod refusals;
mod regressions;
mod resolve;
mod tokens;
mod vectors;

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use haechi_store_redis::{
    Builder,
    audit::store::AuditStore,
    clock::Clock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::RedisVaultStore,
    test_util::ManualClock,
    vault::{
        Deterministic, MutationId, RevealPolicy, Stored, TokenId, TokenStore, TokenVault,
        VaultPolicy, View,
        store::{Attempt, Diff, Fence, ForeignLockWait, ReceiptSeq, VaultStore},
    },
};
use redis_sim::server_process::RedisServer;

use crate::support::client;

/// What a mutation has read.
pub(crate) type Read = BTreeMap<TokenId, Option<Stored>>;

pub(crate) fn token(name: &str) -> TokenId {
    TokenId::new(name).unwrap()
}

/// A diff from names and values; `None` deletes.
pub(crate) fn diff(changes: &[(&str, Option<&str>)]) -> Diff {
    changes
        .iter()
        .map(|(name, value)| (token(name), value.map(Stored::from)))
        .collect()
}

/// The first attempt of a mutation, which waits for nobody.
pub(crate) fn attempt<'a>(id: [u8; 16], read: &'a Read, diff: &'a Diff) -> Attempt<'a> {
    Attempt {
        mutation: MutationId::from_bytes(id),
        number: 1,
        begun: ReceiptSeq::new(0),
        fence: Fence::Values,
        read,
        diff,
        foreign_lock_wait: ForeignLockWait::Exhausted,
    }
}

/// Counts by `step`.
pub(crate) fn add(view: &mut View, step: i64) {
    let counter = token("counter");
    let before = view.get(&counter).map_or(0, |stored| {
        let text = String::from_utf8_lossy(stored.bytes());
        text.parse().unwrap()
    });
    view.set(&counter, (before + step).to_string());
}

/// Mutations of the vault in `server`, by a process of their own.
fn tokens(server: &RedisServer) -> TokenStore<RedisVaultStore> {
    let builder = Builder::new();
    builder.token_store(builder.vault_store(client(server)))
}

/// Milliseconds since the epoch.
fn clock_at(millis: u64) -> ManualClock {
    ManualClock::at(Duration::from_millis(millis))
}

fn days(days: f64) -> Duration {
    Duration::from_secs_f64(days * 86_400.0)
}

type Keys<C = ManualClock> = LocalKeys<MemoryKeys, C, SystemEntropy>;
type Vault<S, C = ManualClock> = TokenVault<S, Keys<C>, C, SystemEntropy>;

/// Keys of a test's own.
async fn keys<C: Clock>(storage: &MemoryKeys, clock: &C) -> Arc<Keys<C>> {
    let keys = LocalKeys::open(
        storage.clone(),
        clock.clone(),
        SystemEntropy,
        Counting::Persisted,
    );
    Arc::new(keys.await.unwrap())
}

async fn new_keys(clock: &impl Clock) -> MemoryKeys {
    let storage = MemoryKeys::new();
    manage::init(&storage, clock, &SystemEntropy).await.unwrap();
    storage
}

/// Deterministic for all types, revealing, over `store` and `chain`.
fn vault<S: VaultStore, C: Clock>(
    store: S,
    chain: impl AuditStore,
    keys: Arc<Keys<C>>,
    clock: &C,
    deterministic: Deterministic,
) -> Vault<S, C> {
    let builder = || Builder::new().clock(clock.clone());
    let mut policy = VaultPolicy::default();
    policy.deterministic = deterministic;
    policy.reveal = RevealPolicy::Allowed("local-dev".to_owned());
    let audit = builder().audit_sink(chain);
    builder().token_vault(store, keys, audit, policy)
}
