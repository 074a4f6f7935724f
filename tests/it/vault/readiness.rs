//! What is checked when chain and vault open, and at every later connection.

use haechi_store_redis::{
    AppendError, Builder, NotApplied, OpenError,
    audit::store::AuditStore,
    clock::SystemClock,
    redis::{Connect, NotReady},
    vault::{Details, TokenType, TokenizeError, VaultPolicy},
};

use super::{keys, new_keys};
use crate::{
    redirected::Address,
    support::{InMemory, event, run},
};

async fn set_policy(node: &InMemory, policy: &str) {
    let mut commands = node.connect().await.unwrap();
    run(
        &mut commands,
        &format!("CONFIG SET maxmemory-policy {policy}"),
    )
    .await;
}

/// Would catch a Redis that is checked only at start: after a failover or a
/// restart, the next one may evict.
#[tokio::test]
async fn an_evicting_redis_is_refused_at_every_connection() {
    // Each of the two has one connection to it.
    let address = Address::new(InMemory::new(), 2);
    let clock = SystemClock::new();
    let storage = new_keys(&clock).await;
    let open = async |builder: Builder| {
        let keys = keys(&storage, &clock).await;
        builder
            .open(address.clone(), keys, VaultPolicy::default())
            .await
    };
    let (audit, vault) = open(Builder::new()).await.unwrap();
    let email = TokenType::new("email").unwrap();
    let tokenize = || vault.tokenize(&email, "a@example.com", Details::default());

    let demoted = address.wrong.redis().clone();
    demoted.lock().unwrap().modes().readonly = true;
    set_policy(&address.right, "allkeys-lru").await;
    for _ in 0..2 {
        match audit.record(event("e")).await {
            Err(AppendError::NotApplied(NotApplied::Refused(cause))) => {
                assert!(cause.to_string().contains("allkeys-lru"), "{cause}");
            }
            other => panic!("{other:?}"),
        }
        match tokenize().await {
            Err(TokenizeError::NotApplied(NotApplied::Refused(cause))) => {
                assert!(cause.to_string().contains("allkeys-lru"), "{cause}");
            }
            other => panic!("{other:?}"),
        }
    }
    // It can be read nevertheless.
    let chain = Builder::new().audit_store(address.right.clone());
    assert_eq!(chain.tail(None).await.unwrap().length, 0);
    let tolerant = Builder::new().tolerate(NotReady::Evicting);
    let (tolerant, _) = open(tolerant).await.unwrap();
    tolerant.record(event("e")).await.unwrap();

    set_policy(&address.right, "noeviction").await;
    audit.record(event("e")).await.unwrap();
    tokenize().await.unwrap();
}

/// Would catch a vault that opens on a version that every mutation refuses.
#[tokio::test]
async fn a_corrupt_vault_does_not_open() {
    let redis = InMemory::new();
    let mut commands = redis.connect().await.unwrap();
    run(&mut commands, "SET haechi:tv:version 007").await;
    let clock = SystemClock::new();
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let opened = Builder::new()
        .open(redis, keys, VaultPolicy::default())
        .await;
    let Err(OpenError { reason, .. }) = opened else {
        panic!("must not open");
    };
    assert_eq!(reason, NotReady::Diverged);
}
