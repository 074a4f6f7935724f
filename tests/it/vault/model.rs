//! Property test: random operations and jumps of time on a vault give the
//! results of a map of plaintexts and times, in memory, on the simulated Redis,
//! and on redis-server.

use std::collections::BTreeMap;

use haechi_store_redis::{
    Builder, DurabilityStatus,
    crypto::{MemoryKeys, manage},
    entropy::SystemEntropy,
    test_util::{ManualClock, MemoryChain, MemoryVault, VaultModel},
    vault::{Details, Deterministic, Purged, Refusal, RevealError, TokenType, store::VaultStore},
};
use proptest::prelude::*;

use super::{Keys, Vault, clock_at, days, keys, new_keys, vault};
use crate::support::{InMemory, client, server};

const NOW: u64 = 1_760_000_000_000;
const LIFE: u64 = 30 * 86_400_000;

#[derive(Clone, Debug)]
enum Call {
    /// A value, of a deterministic type or not.
    Tokenize {
        value: u8,
        deterministic: bool,
    },
    /// One of the tokens created so far, including dead ones.
    Reveal(prop::sample::Index),
    Purge(prop::sample::Index),
    Detokenize,
    List,
    PurgeExpired,
    Prune,
    /// Hours.
    Wait(u16),
    RotateKeys,
    /// Another process takes over, with the same keys.
    Restart,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let index = any::<prop::sample::Index>;
    let call = prop_oneof![
        6 => (0..5_u8, any::<bool>())
            .prop_map(|(value, deterministic)| Call::Tokenize { value, deterministic }),
        3 => index().prop_map(Call::Reveal),
        2 => index().prop_map(Call::Purge),
        1 => Just(Call::Detokenize),
        1 => Just(Call::List),
        1 => Just(Call::PurgeExpired),
        1 => Just(Call::Prune),
        3 => (1..800_u16).prop_map(Call::Wait),
        1 => Just(Call::RotateKeys),
        1 => Just(Call::Restart),
    ];
    prop::collection::vec(call, 1..40)
}

/// A token in the model.
#[derive(Clone, Debug)]
struct Kept {
    value: u8,
    deterministic: bool,
    expires: u64,
}

struct Model {
    clock: ManualClock,
    now: u64,
    /// By name; including those that have expired and are not yet deleted.
    kept: BTreeMap<String, Kept>,
    /// All names so far.
    names: Vec<String>,
}

impl Model {
    fn is_live(&self, name: &str) -> bool {
        self.kept
            .get(name)
            .is_some_and(|kept| kept.expires > self.now)
    }

    fn live(&self) -> Vec<(&String, &Kept)> {
        let live = self.kept.iter().filter(|(_, kept)| kept.expires > self.now);
        live.collect()
    }

    fn pick(&self, index: &prop::sample::Index) -> Option<String> {
        (!self.names.is_empty()).then(|| index.get(&self.names).clone())
    }

    /// Deletes expired tokens; returns their number.
    fn purge_expired(&mut self) -> u64 {
        let before = self.kept.len();
        self.kept.retain(|_, kept| kept.expires > self.now);
        (before - self.kept.len()) as u64
    }
}

fn text(value: u8) -> String {
    format!("value-{value}@example.com")
}

fn kind(deterministic: bool) -> TokenType {
    TokenType::new(if deterministic { "same" } else { "fresh" }).unwrap()
}

async fn open<S: VaultStore>(store: S, storage: &MemoryKeys, clock: &ManualClock) -> Vault<S> {
    let keys: std::sync::Arc<Keys> = keys(storage, clock).await;
    let types = Deterministic::Types([kind(true)].into());
    vault(store, MemoryChain::new(), keys, clock, types)
}

async fn follow<S: VaultStore>(clock: ManualClock, calls: Vec<Call>, store: impl Fn() -> S) {
    let storage = new_keys(&clock).await;
    let mut vault = open(store(), &storage, &clock).await;
    let mut model = Model {
        clock: clock.clone(),
        now: NOW,
        kept: BTreeMap::new(),
        names: Vec::new(),
    };
    for call in calls {
        match &call {
            Call::RotateKeys => {
                manage::rotate(&storage, &clock, &SystemEntropy)
                    .await
                    .unwrap();
                vault = open(store(), &storage, &clock).await;
            }
            Call::Restart => vault = open(store(), &storage, &clock).await,
            call => step(&mut model, &vault, call).await,
        }
    }
}

async fn step<S: VaultStore>(model: &mut Model, vault: &Vault<S>, call: &Call) {
    match call {
        Call::Tokenize {
            value,
            deterministic,
        } => {
            let token_type = kind(*deterministic);
            let value_text = text(*value);
            let made = vault.tokenize(&token_type, &value_text, Details::default());
            let made = made.await.unwrap();
            let name = made.token.to_string();
            let stood = model
                .live()
                .into_iter()
                .find(|(_, kept)| *deterministic && kept.deterministic && kept.value == *value);
            assert_eq!(made.reused, stood.is_some());
            match stood {
                Some((stood, _)) => assert_eq!(*stood, name),
                None => assert!(!model.is_live(&name), "the name is taken"),
            }
            let kept = Kept {
                value: *value,
                deterministic: *deterministic,
                expires: model.now + LIFE,
            };
            model.kept.insert(name.clone(), kept);
            model.names.push(name);
        }
        Call::Reveal(index) => {
            let Some(name) = model.pick(index) else {
                return;
            };
            match (vault.reveal(&name, None).await, model.kept.get(&name)) {
                (Ok(plaintext), Some(kept)) => {
                    assert!(model.is_live(&name));
                    assert_eq!(plaintext.expose(), text(kept.value));
                }
                (Err(RevealError::Refused(Refusal::Expired)), Some(_)) => {
                    assert!(!model.is_live(&name));
                }
                (Err(RevealError::Refused(Refusal::UnknownToken)), None) => {}
                (revealed, kept) => panic!("{revealed:?} for {kept:?}"),
            }
        }
        Call::Purge(index) => {
            let Some(name) = model.pick(index) else {
                return;
            };
            let existed = vault.purge(&name).await.unwrap().existed;
            assert_eq!(existed, model.is_live(&name));
            model.kept.remove(&name);
        }
        Call::Detokenize => {
            let restored = vault.detokenize(&model.names).await.unwrap();
            assert_eq!(restored.len(), model.names.len());
            for (restored, name) in restored.iter().zip(&model.names) {
                let plaintext = restored.plaintext.as_ref().map(|text| text.expose());
                let kept = model.kept.get(name).filter(|_| model.is_live(name));
                let expected = kept.map(|kept| text(kept.value));
                assert_eq!((&restored.token, plaintext), (name, expected.as_deref()));
            }
        }
        Call::List => {
            let listing = vault.tokens().export_metadata(None).await.unwrap();
            let listed: Vec<_> = listing.tokens.iter().map(|token| &token.token).collect();
            let live: Vec<_> = model.live().into_iter().map(|(name, _)| name).collect();
            assert_eq!(listed, live);
        }
        Call::PurgeExpired => {
            let purged = vault.purge_expired().await.unwrap();
            let expected = Purged {
                purged: model.purge_expired(),
                disputed: 0,
                durability: DurabilityStatus::AsAsked,
            };
            assert_eq!(purged, expected);
        }
        Call::Prune => {
            assert_eq!(
                vault.prune(100).await.unwrap().purged,
                model.purge_expired()
            );
        }
        Call::Wait(hours) => {
            model.clock.advance(days(f64::from(*hours) / 24.0));
            model.now += u64::from(*hours) * 3_600_000;
        }
        Call::RotateKeys | Call::Restart => {}
    }
}

fn on_a_runtime(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, failure_persistence: None, ..Default::default() })]

    #[test]
    fn memory(calls in calls()) {
        let clock = clock_at(NOW);
        let store = MemoryVault::with_clock(VaultModel::default(), clock.clone());
        on_a_runtime(follow(clock, calls, || store.clone()));
    }

    #[test]
    fn simulated_redis(calls in calls()) {
        on_a_runtime(async {
            let clock = clock_at(NOW);
            let redis = InMemory::at(&clock);
            follow(clock, calls, || Builder::new().vault_store(redis.clone())).await;
        });
    }
}

/// As above, in one server, whose clock cannot be set: each run has its own prefix.
#[test]
fn redis_server() {
    let server = server();
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases: 40,
        failure_persistence: None,
        ..Default::default()
    });
    let run = std::sync::atomic::AtomicU64::new(0);
    runner
        .run(&calls(), |mut calls| {
            calls.retain(|call| !matches!(call, Call::Wait(_)));
            let run = run.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let prefix = haechi_store_redis::redis::VaultPrefix::new(format!("run{run}:"));
            on_a_runtime(follow(clock_at(NOW), calls, || {
                let builder = Builder::new().vault_prefix(prefix.clone());
                builder.vault_store(client(&server))
            }));
            Ok(())
        })
        .unwrap();
}
