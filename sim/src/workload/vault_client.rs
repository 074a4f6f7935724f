//! The production [`TokenVault`] of one process, over its token store, with
//! keys that all processes share.
//!
//! Its audit records go to the chain of the same Redis or, in a world without one,
//! to memory.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use haechi_history::OpId;

use haechi_store_redis::{
    Builder,
    audit::AuditSink,
    clock::{Clock, iso8601},
    crypto::{
        Aad, Counting, CryptoProvider, DecryptError, Envelope, KeyStorage, KeysError, LocalKeys,
        manage,
    },
    test_util::MemoryChain,
    vault::{
        Deterministic, Retention, RevealPolicy, Spawn, Stored, TokenId, TokenType, TokenVault,
        VaultPolicy,
    },
};
use parking_lot::Mutex;
use rand::RngExt;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::task::JoinHandle;

use super::{
    Host, Process, RETRY_DELAY,
    audit::open_sink,
    keys::ProcessKeys,
    token_store::{StoreOf, Tokens},
};
use crate::{
    mutants::KeysUnderTest,
    record::{CALL, RecordingStore, is_unused},
};

type Vault<H> = TokenVault<
    RecordingStore<StoreOf<H>>,
    Keys<<H as Host>::Clock, <H as Host>::Entropy>,
    <H as Host>::Clock,
    <H as Host>::Entropy,
>;

/// The keys of one process.
pub(super) type Keys<C, E> = KeysUnderTest<LocalKeys<ProcessKeys<C>, C, E>>;

/// The vault of one process.
pub(super) struct VaultClient<H: Host> {
    vault: Mutex<Vault<H>>,
    policy: VaultPolicy,
    keys: Arc<Keys<H::Clock, H::Entropy>>,
    clock: H::Clock,
    /// Tokens returned to this process.
    known: Mutex<Vec<TokenId>>,
    tasks: CallTasks,
    audit: AuditSink<H::Clock, H::Entropy>,
}

/// What calls go on with when their callers have left.
#[derive(Clone, Default)]
struct CallTasks(Arc<Mutex<BTreeMap<OpId, JoinHandle<()>>>>);

impl CallTasks {
    /// Runs a task as part of the call that starts it.
    fn spawn(&self) -> Spawn {
        let tasks = self.clone();
        Arc::new(move |task| {
            let Ok(call) = CALL.try_with(|call| *call) else {
                tokio::spawn(task);
                return;
            };
            let spawned = tokio::spawn(CALL.scope(call, task));
            tasks.0.lock().insert(call, spawned);
        })
    }
}

/// The type whose tokens are deterministic.
pub(super) fn deterministic() -> Option<TokenType> {
    TokenType::new("email").ok()
}

/// The type whose tokens are random.
pub(super) fn random() -> Option<TokenType> {
    TokenType::new("note").ok()
}

/// How many tokens of a loaded vault every process knows.
pub(crate) const LOADED_TOKENS: usize = 8;

/// One of them.
pub(crate) fn loaded_token(number: usize) -> String {
    format!("tok_note_{number:032x}")
}

/// Opens the keys of a process, and makes the first one where there is none.
async fn open_keys<H: Host>(
    process: &Process<'_, H>,
) -> Result<LocalKeys<ProcessKeys<H::Clock>, H::Clock, H::Entropy>, KeysError> {
    let (clock, entropy) = (process.clock.clone(), process.entropy.clone());
    let (storage, faults) = process.host.keys(process.number);
    let storage = ProcessKeys {
        storage,
        faults,
        clock: clock.clone(),
    };
    if storage.load().await?.is_none() {
        // Another process may make it meanwhile.
        match manage::init(&storage, &clock, &entropy).await {
            Ok(_) | Err(KeysError::Exists { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    LocalKeys::open(storage, clock, entropy, Counting::Persisted).await
}

/// The keys of a process, once they can be read.
pub(super) async fn shared_keys<H: Host>(process: &Process<'_, H>) -> Keys<H::Clock, H::Entropy> {
    loop {
        match open_keys(process).await {
            Ok(keys) => return process.store.keys(keys),
            Err(error) => {
                let trace = || format!("{}: {error}", process.name);
                process.recorder.trace(trace);
                process.host.sleep(RETRY_DELAY).await;
            }
        }
    }
}

impl<H: Host> VaultClient<H> {
    /// Opens the vault over a token store.
    pub(super) async fn open(
        process: &Process<'_, H>,
        tokens: &Tokens<H>,
        retention_days: f64,
    ) -> Option<Self> {
        let (clock, entropy) = (process.clock.clone(), process.entropy.clone());
        let keys = Arc::new(shared_keys(process).await);
        let audit = if process.knobs.workload.has_chain() {
            open_sink(process, &process.name, None).await
        } else {
            let chain = MemoryChain::new();
            process.recorder.audits(&process.name, chain.clone());
            Builder::new()
                .clock(clock.clone())
                .entropy(entropy.clone())
                .audit_sink(process.store.vault_audit(chain))
        };
        let mut policy = VaultPolicy::default();
        policy.retention = Retention::from_days(retention_days).ok()?;
        policy.deterministic = Deterministic::Types(deterministic().into_iter().collect());
        if !process.generator("policy").random_ratio(1, 8) {
            policy.reveal = RevealPolicy::Allowed("simulation".to_owned());
        }
        let loaded = process.knobs.vault.as_ref().map_or(0, |vault| vault.loaded);
        let known = match loaded {
            0 => Vec::new(),
            _ => (0..LOADED_TOKENS)
                .filter_map(|number| TokenId::new(&loaded_token(number)).ok())
                .collect(),
        };
        let tasks = CallTasks::default();
        let vault = TokenVault::new(
            tokens.clone(),
            keys.clone(),
            audit.clone(),
            clock.clone(),
            entropy,
            policy.clone(),
            tasks.spawn(),
        );
        Some(Self {
            vault: Mutex::new(vault),
            policy,
            keys,
            clock,
            known: Mutex::new(known),
            tasks,
            audit,
        })
    }

    /// The vault that is open.
    pub(super) fn vault(&self) -> Vault<H> {
        self.vault.lock().clone()
    }

    /// Opens another vault, and closes the one before within so many milliseconds.
    pub(super) async fn reopen(&self, process: &Process<'_, H>, within: u64) {
        let next = TokenVault::new(
            self.vault().tokens().clone(),
            self.keys.clone(),
            self.audit.clone(),
            self.clock.clone(),
            process.entropy.clone(),
            self.policy.clone(),
            self.tasks.spawn(),
        );
        let before = std::mem::replace(&mut *self.vault.lock(), next);
        let ended = before.close(Duration::from_millis(within)).await;
        let name = process.name.as_str();
        let trace = || format!("{name} closed a vault, all had ended: {ended}");
        process.recorder.trace(trace);
    }

    /// What a call goes on with when its caller has left.
    pub(super) fn left(&self, call: OpId) -> Option<JoinHandle<()>> {
        self.tasks.0.lock().remove(&call)
    }

    /// Remembers a token.
    pub(super) fn learn(&self, token: TokenId) {
        self.known.lock().push(token);
    }

    /// The last tokens returned to this process, at most so many.
    pub(super) fn known(&self, most: usize) -> Vec<TokenId> {
        let known = self.known.lock();
        known.iter().rev().take(most).cloned().collect()
    }

    /// The live tokens among `entries` that cannot be decrypted.
    pub(super) async fn undecryptable(&self, entries: &[(TokenId, Stored)]) -> Vec<String> {
        #[derive(Deserialize)]
        struct Record {
            #[serde(rename = "expiresAt")]
            expires_at: String,
            envelope: Box<RawValue>,
            aad: Box<RawValue>,
        }
        let mut undecryptable = Vec::new();
        let entries = entries.iter();
        for (token, stored) in entries.filter(|(token, _)| !is_unused(token.as_str())) {
            let Ok(record) = serde_json::from_slice::<Record>(stored.bytes()) else {
                continue;
            };
            if record.expires_at <= iso8601(self.clock.wall()) {
                continue;
            }
            let opens = match (
                Envelope::from_json(record.envelope.get()),
                Aad::from_json(record.aad.get()),
            ) {
                (Ok(envelope), Ok(aad)) => {
                    let opened = self.keys.decrypt(&envelope, &aad).await;
                    matches!(opened, Ok(_) | Err(DecryptError::Unavailable(_)))
                }
                _ => false,
            };
            if !opens {
                undecryptable.push(token.to_string());
            }
        }
        undecryptable
    }
}
