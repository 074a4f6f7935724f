//! Audit records and results while the index, replies, the crypto provider or
//! Redis are missing.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, SystemTime},
};

use haechi_store_redis::{
    AttemptError, Builder, Cause,
    audit::MemoryChain,
    clock::{Clock, SystemClock},
    crypto::{
        Aad, Counting, CryptoProvider, DecryptError, EncryptError, Envelope, KeyedMac, LocalKeys,
        MacError, MemoryKeys, manage,
    },
    entropy::SystemEntropy,
    redis::{LockPolicy, LockTimes},
    vault::{
        Details, MutationId, Retention, RevealPolicy, TokenId, TokenType, TokenVault, VaultPolicy,
        View,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, ReceiptSeq,
            VaultStore,
        },
    },
};

use crate::support::{client, raw, run, server, verified};

/// Fails on demand: the index, or every reply of a mutation.
struct Failing<S> {
    store: S,
    index: Arc<AtomicBool>,
    replies: Arc<AtomicBool>,
}

fn lost<T>() -> Result<T, AttemptError> {
    Err(AttemptError::Ambiguous(Cause::new("reply lost")))
}

impl<S: VaultStore> VaultStore for Failing<S> {
    type Lease = S::Lease;

    fn tokens_key(&self) -> &str {
        self.store.tokens_key()
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        self.store.load(what, observed).await
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let applied = self.store.apply(attempt, observed).await;
        if self.replies.load(Ordering::SeqCst) {
            return lost();
        }
        applied
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        if self.replies.load(Ordering::SeqCst) {
            return lost();
        }
        self.store.settle(mutation, begun, observed).await
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        self.store.due(now, limit).await
    }

    async fn index(&self, tokens: &[Indexed], whole: Option<u64>) -> Result<(), AttemptError> {
        if self.index.load(Ordering::SeqCst) {
            return Err(AttemptError::Denied(Cause::new("no ZADD")));
        }
        self.store.index(tokens, whole).await
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        self.store.scan(cursor, count).await
    }

    async fn lease(&self) -> Self::Lease {
        self.store.lease().await
    }

    async fn release(&self, lease: Self::Lease) {
        self.store.release(lease).await;
    }
}

async fn local_keys() -> LocalKeys<MemoryKeys, SystemClock, SystemEntropy> {
    let storage = MemoryKeys::new();
    manage::init(&storage, &SystemClock::new(), &SystemEntropy)
        .await
        .unwrap();
    LocalKeys::open(
        storage,
        SystemClock::new(),
        SystemEntropy,
        Counting::Persisted,
    )
    .await
    .unwrap()
}

fn vault<S: VaultStore, P: CryptoProvider>(
    store: S,
    keys: P,
    chain: MemoryChain,
) -> TokenVault<S, P> {
    let builder = Builder::new().deadline(Duration::from_secs(2));
    let policy = VaultPolicy {
        retention: Retention::from_days(1.0 / 86_400_000.0).unwrap(),
        reveal: RevealPolicy::Allowed("dev".to_owned()),
        ..VaultPolicy::default()
    };
    builder.token_vault(
        store,
        Arc::new(keys),
        Builder::new().audit_sink(chain),
        policy,
    )
}

async fn purged_unaudited(index: bool, replies: bool) {
    let server = server();
    let (no_index, no_replies) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicBool::new(false)),
    );
    let store = Failing {
        store: Builder::new().vault_store(client(&server)),
        index: no_index.clone(),
        replies: no_replies.clone(),
    };
    let chain = MemoryChain::new();
    let vault = vault(store, local_keys().await, chain.clone());
    let kind = TokenType::new("email").unwrap();
    let mut made = Vec::new();
    for text in ["a", "b", "c"] {
        made.push(
            vault
                .tokenize(&kind, text, Details::default())
                .await
                .unwrap()
                .token,
        );
    }
    // A foreign purge: the index still holds the token.
    let mut connection = raw(&server).await;
    run(
        &mut connection,
        &["HDEL", "haechi:tv:tokens", made[0].as_str()],
    )
    .await;
    run(&mut connection, &["INCR", "haechi:tv:version"]).await;
    SystemClock::new().sleep(Duration::from_millis(20)).await;
    no_index.store(index, Ordering::SeqCst);
    no_replies.store(replies, Ordering::SeqCst);
    let purged = vault.purge_expired().await;
    let left: u64 = redis::cmd("HLEN")
        .arg("haechi:tv:tokens")
        .query_async(&mut connection)
        .await
        .unwrap();
    let records = verified(&chain).await.len();
    println!("purge_expired: {purged:?}; tokens left {left}, audit records {records}");
    assert!(
        left > 0 || records > 0,
        "two tokens are gone and the chain says nothing"
    );
}

#[tokio::test]
async fn what_was_purged_before_a_failure_is_audited() {
    purged_unaudited(true, false).await;
}

#[tokio::test]
async fn an_expiry_purge_of_unknown_outcome_is_audited() {
    purged_unaudited(false, true).await;
}

/// With the lock, a deadline of 300 ms is one of seconds.
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
    let set = |view: &mut View| view.set(&TokenId::new("a").unwrap(), "1");
    let ended = tokens.transaction([], set).await;
    println!("{ended:?} after {:?}", clock.now());
    assert!(
        clock.now() < Duration::from_millis(1500),
        "{:?}",
        clock.now()
    );
}

/// A KMS that is away.
struct Away(
    LocalKeys<MemoryKeys, SystemClock, SystemEntropy>,
    Arc<AtomicBool>,
);

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
            return Err(DecryptError::Unavailable("the KMS is away".to_owned()));
        }
        self.0.decrypt(envelope, aad).await
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        self.0.hmacs(data, domain).await
    }
}

/// Callers of detokenize take `None` for gone.
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
        Builder::new().audit_sink(chain),
        VaultPolicy::default(),
    );
    let kind = TokenType::new("email").unwrap();
    let made = vault
        .tokenize(&kind, "a", Details::default())
        .await
        .unwrap();
    away.store(true, Ordering::SeqCst);
    let restored = vault.detokenize(&[made.token.to_string()]).await;
    println!("{restored:?}");
    assert!(restored.is_err(), "{restored:?}");
}
