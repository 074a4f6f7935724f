//! The vault that turns plaintexts into tokens, in one process: the production
//! [`TokenVault`] over the same token store, with keys that all processes of
//! the world share.
//!
//! What it audits goes to memory: a record without an operation of its own
//! would be a phantom in the history of the chain.

use std::sync::{Arc, Mutex, PoisonError};

use haechi_store_redis::{
    Builder,
    audit::{AuditSink, MemoryChain},
    clock::{Clock, iso8601},
    crypto::{Aad, Counting, CryptoProvider, Envelope, KeyStorage, LocalKeys, MemoryKeys, manage},
    vault::{
        Deterministic, Retention, RevealPolicy, Stored, TokenId, TokenType, TokenVault, VaultPolicy,
    },
};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::{StoreOf, Tokens, noted::Noted};
use crate::{
    mutants::{KeysUnderTest, StoreUnderTest},
    world::host::Host,
};

/// What every plaintext begins with, so that it is found wherever it leaks.
pub(crate) const PLAINTEXT: &str = "hush-";

type Vault<H> = TokenVault<
    Noted<StoreOf<H>>,
    Keys<<H as Host>::Clock, <H as Host>::Entropy>,
    <H as Host>::Clock,
    <H as Host>::Entropy,
>;

/// What the processes of a world share beside Redis.
#[derive(Clone, Default)]
pub(crate) struct Safe {
    keys: MemoryKeys,
}

/// The keys of one process.
type Keys<C, E> = KeysUnderTest<LocalKeys<MemoryKeys, C, E>>;

/// The vault of one process.
pub(crate) struct Secrets<H: Host> {
    pub(crate) vault: Vault<H>,
    keys: Arc<Keys<H::Clock, H::Entropy>>,
    clock: H::Clock,
    /// Tokens that this process was given, and what they stand for.
    known: Mutex<Vec<(TokenId, String)>>,
    /// Kept for as long as the vault records in it.
    _audit: AuditSink<H::Clock, H::Entropy>,
}

/// The type whose tokens are deterministic.
pub(crate) fn deterministic() -> Option<TokenType> {
    TokenType::new("email").ok()
}

/// The type whose tokens are random.
pub(crate) fn random() -> Option<TokenType> {
    TokenType::new("note").ok()
}

impl<H: Host> Secrets<H> {
    /// Opens the vault.
    pub(crate) async fn open(
        safe: &Safe,
        tokens: &Tokens<H>,
        retention_days: f64,
        store: &StoreUnderTest,
        clock: H::Clock,
        entropy: H::Entropy,
    ) -> Option<Self> {
        if safe.keys.load().await.ok()?.is_none() {
            manage::init(&safe.keys, &clock, &entropy).await.ok()?;
        }
        let (storage, counting) = (safe.keys.clone(), Counting::PerProcess);
        let keys = LocalKeys::open(storage, clock.clone(), entropy.clone(), counting);
        let keys = Arc::new(store.keys(keys.await.ok()?));
        let audit = Builder::new()
            .clock(clock.clone())
            .entropy(entropy.clone())
            .start_over(MemoryChain::new());
        let policy = VaultPolicy {
            retention: Retention::days(retention_days).ok()?,
            deterministic: Deterministic::Types(deterministic().into_iter().collect()),
            reveal: RevealPolicy::Allowed("simulation".to_owned()),
        };
        Some(Self {
            vault: TokenVault::new(
                tokens.clone(),
                keys.clone(),
                audit.clone(),
                clock.clone(),
                entropy,
                policy,
            ),
            keys,
            clock,
            known: Mutex::default(),
            _audit: audit,
        })
    }

    /// Remembers what a token stands for.
    pub(crate) fn learn(&self, token: TokenId, plaintext: String) {
        self.known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push((token, plaintext));
    }

    /// The tokens that this process was given last.
    pub(crate) fn known(&self, most: usize) -> Vec<(TokenId, String)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.iter().rev().take(most).cloned().collect()
    }

    /// The live tokens among `entries` that do not reveal.
    pub(crate) async fn undecryptable(&self, entries: &[(TokenId, Stored)]) -> Vec<String> {
        #[derive(Deserialize)]
        struct Record {
            #[serde(rename = "expiresAt")]
            expires_at: String,
            envelope: Box<RawValue>,
            aad: Box<RawValue>,
        }
        let mut closed = Vec::new();
        for (token, stored) in entries {
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
                (Ok(envelope), Ok(aad)) => self.keys.decrypt(&envelope, &aad).await.is_ok(),
                _ => false,
            };
            if !opens {
                closed.push(token.to_string());
            }
        }
        closed
    }
}
