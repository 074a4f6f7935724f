//! Audit records and results while the index, replies, the crypto provider or
//! Redis are unavailable.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use haechi_store_redis::{
    AttemptError, Builder, Cause,
    audit::store::AuditStore,
    clock::{Clock, SystemClock},
    crypto::{Aad, CryptoProvider, DecryptError, EncryptError, Envelope, KeyedMac, MacError},
    redis::{LockPolicy, LockTimes},
    test_util::{AutoClock, Fault, Faults, Hooked, MemoryChain, MemoryVault, VaultHooks},
    vault::{
        Details, MutationId, Retention, RevealPolicy, TokenStore, TokenType, TokenVault,
        VaultPolicy, View,
        store::{Applied, Attempt, Fate, Indexed, Observed, ReceiptSeq, VaultStore},
    },
};

use crate::support::{ask, client, raw, run, server, verified};
use crate::vault::{Keys, add, keys, new_keys, token};

/// Fails on demand: the index, or every reply of a mutation.
#[derive(Clone, Default)]
struct Failing {
    index: Arc<AtomicBool>,
    replies: Faults,
}

impl<S: VaultStore> VaultHooks<S> for Failing {
    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.replies.apply(next, attempt, observed).await
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        self.replies.settle(next, mutation, begun, observed).await
    }

    async fn index(
        &self,
        next: &S,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> Result<(), AttemptError> {
        if self.index.load(Ordering::SeqCst) {
            return Err(AttemptError::Denied(Cause::new("no ZADD")));
        }
        next.index(tokens, whole).await
    }
}

/// Another writer changes the counter before every attempt, 10,000 times.
struct Contended {
    other: TokenStore<MemoryVault, AutoClock>,
    attempts: AtomicU64,
}

impl VaultHooks<MemoryVault> for Contended {
    async fn apply(
        &self,
        next: &MemoryVault,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        if self.attempts.fetch_add(1, Ordering::SeqCst) < 10_000 {
            let count = |view: &mut View| add(view, 1);
            let counted = self.other.transaction([token("counter")], count).await;
            counted.unwrap();
        }
        next.apply(attempt, observed).await
    }
}

/// Would catch a deadline that begins anew at a conflict.
#[test]
fn conflicts_end_at_the_deadline() {
    let clock = AutoClock::default();
    let memory = MemoryVault::new();
    let builder = || Builder::new().clock(clock.clone());
    let contended = Contended {
        other: builder().token_store(memory.clone()),
        attempts: AtomicU64::new(0),
    };
    let tokens = builder().deadline(Duration::from_secs(2));
    let tokens = tokens.token_store(Hooked::new(memory, contended));
    let count = |view: &mut View| add(view, 1);
    let counting = tokens.transaction([token("counter")], count);
    let error = clock.run(counting).unwrap().unwrap_err();
    assert!(error.is_retryable(), "{error}");
    assert!(clock.now() <= Duration::from_secs(2), "{:?}", clock.now());
}

async fn local_keys() -> Arc<Keys<SystemClock>> {
    let clock = SystemClock::new();
    keys(&new_keys(&clock).await, &clock).await
}

fn vault<S: VaultStore, P: CryptoProvider>(
    store: S,
    keys: Arc<P>,
    chain: MemoryChain,
) -> TokenVault<S, P> {
    let builder = Builder::new().deadline(Duration::from_secs(2));
    let mut policy = VaultPolicy::default();
    policy.retention = Retention::from_days(1.0 / 86_400_000.0).unwrap();
    policy.reveal = RevealPolicy::Allowed("dev".to_owned());
    builder.token_vault(store, keys, Builder::new().audit_sink(chain), policy)
}

async fn purged_unaudited(index: bool, replies: bool) {
    let server = server();
    let failing = Failing::default();
    let store = Hooked::new(Builder::new().vault_store(client(&server)), failing.clone());
    let chain = MemoryChain::new();
    let vault = vault(store, local_keys().await, chain.clone());
    let kind = TokenType::new("email").unwrap();
    let mut made = Vec::new();
    for text in ["a", "b", "c"] {
        let tokenized = vault.tokenize(&kind, text, Details::default()).await;
        made.push(tokenized.unwrap().token);
    }
    // A foreign purge: the index still contains the token.
    let mut connection = raw(&server).await;
    run(
        &mut connection,
        &format!("HDEL haechi:tv:tokens {}", made[0]),
    )
    .await;
    run(&mut connection, "INCR haechi:tv:version").await;
    SystemClock::new().sleep(Duration::from_millis(20)).await;
    failing.index.store(index, Ordering::SeqCst);
    if replies {
        failing.replies.plan([], Fault::ReplyLost);
    }
    let purged = vault.purge_expired().await;
    let left: u64 = ask(&mut connection, "HLEN haechi:tv:tokens").await;
    let records = verified(&chain).await.len();
    println!("purge_expired: {purged:?}; tokens left {left}, audit records {records}");
    assert!(
        left > 0 || records > 0,
        "two tokens are gone and the chain says nothing"
    );
}

#[tokio::test]
async fn purges_before_a_failure_are_audited() {
    purged_unaudited(true, false).await;
}

#[tokio::test]
async fn an_expiry_purge_of_unknown_outcome_is_audited() {
    purged_unaudited(false, true).await;
}

/// With the lock, a deadline of 300 ms must not take seconds.
#[tokio::test]
async fn a_deadline_holds_with_the_lock_too() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        let mut silent = Vec::new();
        while let Ok((theirs, _)) = listener.accept().await {
            silent.push(theirs);
        }
    });
    let builder = Builder::new()
        .deadline(Duration::from_millis(300))
        .lock(LockPolicy::Always(LockTimes::default()));
    let store = builder.vault_store(redis::Client::open(url).unwrap());
    let tokens = builder.token_store(store);
    let clock = SystemClock::new();
    let set = |view: &mut View| view.set(&token("a"), "1");
    tokens.transaction([], set).await.unwrap_err();
    assert!(
        clock.now() < Duration::from_millis(1500),
        "{:?}",
        clock.now()
    );
}

/// A KMS that is unavailable.
struct Away(Arc<Keys<SystemClock>>, Arc<AtomicBool>);

impl CryptoProvider for Away {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        self.0.encrypt(plaintext, aad, expires_at).await
    }

    async fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> Result<zeroize::Zeroizing<Vec<u8>>, DecryptError> {
        if self.1.load(Ordering::SeqCst) {
            return Err(DecryptError::Unavailable(
                "the KMS is unavailable".to_owned(),
            ));
        }
        self.0.decrypt(envelope, aad).await
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        self.0.hmacs(data, domain).await
    }
}

/// Callers of detokenize take `None` for a missing token. The attempt is audited.
#[tokio::test]
async fn an_outage_is_not_a_missing_token() {
    let server = server();
    let away = Arc::new(AtomicBool::new(false));
    let chain = MemoryChain::new();
    let keys = Arc::new(Away(local_keys().await, away.clone()));
    let builder = Builder::new();
    let vault = builder.token_vault(
        builder.vault_store(client(&server)),
        keys,
        Builder::new().audit_sink(chain.clone()),
        VaultPolicy::default(),
    );
    let kind = TokenType::new("email").unwrap();
    let made = vault
        .tokenize(&kind, "a", Details::default())
        .await
        .unwrap();
    away.store(true, Ordering::SeqCst);
    let restored = vault.detokenize(&[made.token.to_string()]).await;
    assert!(restored.is_err(), "{restored:?}");
    let records = chain.read(0, 2).await.unwrap();
    let event: serde_json::Value = serde_json::from_slice(&records[0]).unwrap();
    assert_eq!((records.len(), &event["count"]), (1, &0.into()));
    assert_eq!(event["reason"], "1 tokens not restored");
}
