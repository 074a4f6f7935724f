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

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{
    Builder,
    audit::store::AuditStore,
    clock::{Clock, SystemClock},
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
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

/// A wall clock that a test sets; its other time is tokio's.
#[derive(Clone)]
struct Wall {
    clock: SystemClock,
    millis: Arc<AtomicU64>,
}

impl Wall {
    fn at(millis: u64) -> Self {
        Self {
            clock: SystemClock::new(),
            millis: Arc::new(AtomicU64::new(millis)),
        }
    }

    fn advance_days(&self, days: f64) {
        let millis = (days * 86_400_000.0) as u64;
        self.millis.fetch_add(millis, Ordering::Relaxed);
    }
}

impl Clock for Wall {
    fn now(&self) -> Duration {
        self.clock.now()
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.millis.load(Ordering::Relaxed))
    }

    async fn sleep(&self, duration: Duration) {
        self.clock.sleep(duration).await;
    }
}

type Keys = LocalKeys<MemoryKeys, Wall, SystemEntropy>;
type Vault<S> = TokenVault<S, Keys, Wall, SystemEntropy>;

/// Keys of a test's own.
async fn keys(storage: &MemoryKeys, clock: &Wall) -> Arc<Keys> {
    let keys = LocalKeys::open(
        storage.clone(),
        clock.clone(),
        SystemEntropy,
        Counting::Persisted,
    );
    Arc::new(keys.await.unwrap())
}

async fn new_keys(clock: &Wall) -> MemoryKeys {
    let storage = MemoryKeys::new();
    manage::init(&storage, clock, &SystemEntropy).await.unwrap();
    storage
}

/// Deterministic for all types, revealing, over `store` and `chain`.
fn vault<S: VaultStore>(
    store: S,
    chain: impl AuditStore,
    keys: Arc<Keys>,
    clock: &Wall,
    deterministic: Deterministic,
) -> Vault<S> {
    let builder = || Builder::new().clock(clock.clone());
    let policy = VaultPolicy {
        deterministic,
        reveal: RevealPolicy::Allowed("local-dev".to_owned()),
        ..VaultPolicy::default()
    };
    let audit = builder().audit_sink(chain);
    builder().token_vault(store, keys, audit, policy)
}
