//! What needs a tokio runtime, what is spawned on it, and what becomes of calls when it, or
//! the sink, ends first. docs/deployment.md states it.

use std::{sync::Arc, time::Duration};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Health, NotApplied,
    audit::{
        AuditSink,
        store::{AuditStore, Batch, Reply},
    },
    clock::SystemClock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    test_util::{AuditHooks, Hooked, MemoryChain, MemoryVault},
    vault::{
        Details, PurgeError, RevealError, RevealPolicy, TokenType, TokenVault, VaultPolicy, View,
    },
};
use tokio::{
    runtime::{Handle, Runtime},
    sync::Semaphore,
};

use crate::support::{client, event, server};

type Keys = LocalKeys<MemoryKeys>;

async fn keys() -> Arc<Keys> {
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    let made = manage::init(&storage, &clock, &SystemEntropy).await;
    made.unwrap();
    let keys = LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted).await;
    Arc::new(keys.unwrap())
}

fn revealing() -> VaultPolicy {
    let mut policy = VaultPolicy::default();
    policy.reveal = RevealPolicy::Allowed("test".to_owned());
    policy
}

/// Appends begin, and have no reply.
#[derive(Clone)]
struct Silent(Arc<Semaphore>);

impl<S: AuditStore> AuditHooks<S> for Silent {
    async fn append(&self, _: &S, _: &Batch<'_>) -> Result<Reply, AttemptError> {
        self.0.add_permits(1);
        std::future::pending().await
    }
}

impl Silent {
    async fn sent(&self) {
        self.0.acquire().await.unwrap().forget();
    }
}

/// Would catch a sink that is opened without a runtime, and never appends.
#[test]
fn a_sink_cannot_be_made_outside_of_a_runtime() {
    let made = std::panic::catch_unwind(|| Builder::new().audit_sink(MemoryChain::new()));
    assert!(made.is_err());
}

/// Would catch tasks that are not those that are documented, and tasks or connections that
/// are left when sink and vault are gone.
#[tokio::test]
async fn one_task_a_sink_and_one_a_connection() {
    let server = server();
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    sink.record(event("1")).await.unwrap();
    assert_eq!(tasks(), 2, "the loop, the connection");
    sink.close(Duration::from_secs(1)).await;
    drop(sink);
    let opened = Builder::new().open(client(&server), keys().await, revealing());
    let (audit, vault) = opened.await.unwrap();
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, "a@example.com", Details::default());
    let token = made.await.unwrap().token;
    assert_eq!(tasks(), 3, "the loop, the connections of both");
    vault.purge(token.as_str()).await.unwrap();
    // The vault has the sink, too: the loop ends with the last clone.
    drop((audit, vault));
    while tasks() > 0 {
        tokio::task::yield_now().await;
    }
}

/// A sink whose loop runs on this runtime.
fn opened_on(runtime: &Runtime, store: impl AuditStore) -> AuditSink {
    let _entered = runtime.enter();
    Builder::new().audit_sink(store)
}

/// Would catch calls that need the sink's own runtime, calls that wait for ever when that
/// has ended, and one in flight that is told *not applied*.
#[test]
fn callers_outlive_the_runtime_of_the_sink() {
    let (its, ours) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let served = opened_on(&its, MemoryChain::new());
    ours.block_on(served.record(event("1"))).unwrap();

    let silent = Silent(Arc::new(Semaphore::new(0)));
    let sink = opened_on(&its, Hooked::new(MemoryChain::new(), silent.clone()));
    let in_flight = sink.record(event("2"));
    ours.block_on(silent.sent());
    let queued = sink.record(event("3"));
    its.shutdown_background();
    let ended = ours.block_on(in_flight);
    let is_unknown = matches!(ended, Err(AppendError::Unknown { .. }));
    assert!(is_unknown, "{ended:?}");
    for ended in [
        ours.block_on(queued),
        ours.block_on(sink.record(event("4"))),
    ] {
        let is_closed = matches!(ended, Err(AppendError::NotApplied(NotApplied::Closed)));
        assert!(is_closed, "{ended:?}");
    }
    assert_eq!(sink.health(), Health::Closed);
    let report = ours.block_on(sink.close(Duration::from_secs(60)));
    assert_eq!(report.unknown.len(), 1);
}

/// A vault with a token, audited by a sink on the same runtime.
async fn with_token(chain: impl AuditStore) -> (AuditSink, TokenVault<MemoryVault, Keys>, String) {
    let audit = Builder::new().audit_sink(chain);
    let vault =
        Builder::new().token_vault(MemoryVault::new(), keys().await, audit.clone(), revealing());
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, "a@example.com", Details::default());
    let token = made.await.unwrap().token.to_string();
    (audit, vault, token)
}

/// Would catch a vault that is closed, refuses purges, and says that it serves; also while it
/// waits for those that run.
#[tokio::test]
async fn a_closed_vault_says_so() {
    let silent = Silent(Arc::new(Semaphore::new(0)));
    let (_audit, vault, token) = with_token(Hooked::new(MemoryChain::new(), silent.clone())).await;
    let tokens = vault.tokens().clone();
    assert_eq!(tokens.health(), Health::Serving);
    let purging = vault.purge(&token);
    let closing = async {
        silent.sent().await;
        let closed = vault.close(Duration::from_millis(1));
        let (closed, health) = tokio::join!(closed, async { tokens.health() });
        assert_eq!((closed, health), (false, Health::Closed));
    };
    tokio::select! {
        biased;
        ended = purging => panic!("{ended:?}"),
        () = closing => {}
    }
    assert_eq!(tokens.probe().await, Health::Closed);
}

/// Would catch a purge that waits for ever, or is told as done, when the vault's runtime has
/// ended.
#[test]
fn a_purge_whose_runtime_has_ended_says_so() {
    let (its, ours) = (Runtime::new().unwrap(), Runtime::new().unwrap());
    let silent = Silent(Arc::new(Semaphore::new(0)));
    let chain = Hooked::new(MemoryChain::new(), silent.clone());
    let (_audit, vault, token) = its.block_on(with_token(chain));
    let purge = ours.spawn({
        let (vault, token) = (vault.clone(), token.clone());
        async move { vault.purge(&token).await }
    });
    ours.block_on(silent.sent());
    its.shutdown_background();
    let ended = ours.block_on(purge).unwrap();
    assert!(matches!(ended, Err(PurgeError::Abandoned)), "{ended:?}");
}

/// Would catch a plaintext that is revealed, or a token that is destroyed, after the sink
/// that would record it was closed.
#[tokio::test]
async fn a_vault_whose_sink_is_closed_first_reveals_and_purges_nothing() {
    let (audit, vault, token) = with_token(MemoryChain::new()).await;
    audit.close(Duration::from_secs(1)).await;
    let closed = |error: &AppendError| matches!(error, AppendError::NotApplied(NotApplied::Closed));
    let revealed = vault.reveal(&token, None).await;
    assert!(matches!(&revealed, Err(RevealError::NotAudited(error)) if closed(error)));
    let purged = vault.purge(&token).await;
    assert!(matches!(&purged, Err(PurgeError::NotAudited(error)) if closed(error)));
    assert_eq!(vault.tokens().read(View::entries).await.unwrap().len(), 1);
}

/// Would catch a close that returns before what is queued was appended: the runtime, which may
/// end then, does not wait for the loop.
#[test]
fn a_sink_is_closed_before_its_runtime_ends() {
    let chain = MemoryChain::new();
    let runtime = Runtime::new().unwrap();
    let sink = opened_on(&runtime, chain.clone());
    let call = sink.record(event("1"));
    let closed = runtime.block_on(sink.close(Duration::from_secs(60)));
    assert_eq!(closed.unknown, []);
    drop((sink, runtime));
    let ours = Runtime::new().unwrap();
    ours.block_on(call).unwrap();
}
