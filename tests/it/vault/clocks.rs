//! Clocks that are wrong, and records that say something else than their envelopes.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use haechi_store_redis::{
    AttemptError, Builder, DurabilityStatus,
    clock::{Clock, SystemClock, iso8601, parse_iso8601},
    redis::RedisVaultStore,
    test_util::{Hooked, ManualClock, MemoryChain, MemoryVault, VaultHooks, VaultModel},
    vault::{
        Details, Deterministic, JsonObject, Purged, Refusal, RevealError, TokenType, Tokenized,
        View,
        store::{Applied, Attempt, Observed, VaultStore},
    },
};
use redis_sim::server_process::RedisServer;
use serde_json::Value;

use super::{Vault, days, keys, new_keys, vault};
use crate::support::{InMemory, client, server};

/// A process whose clock is right.
fn right() -> Duration {
    SystemClock::new()
        .wall()
        .duration_since(UNIX_EPOCH)
        .unwrap()
}

/// A vault of a process whose clock says this.
async fn process(
    server: &RedisServer,
    storage: &haechi_store_redis::crypto::MemoryKeys,
    wall: Duration,
) -> Vault<RedisVaultStore> {
    let clock = ManualClock::at(wall);
    let keys = keys(storage, &clock).await;
    let store = Builder::new().vault_store(client(server));
    vault(store, MemoryChain::new(), keys, &clock, Deterministic::All)
}

async fn email<S: VaultStore>(vault: &Vault<S>, plaintext: &str) -> Tokenized {
    let email = TokenType::new("email").unwrap();
    let made = vault.tokenize(&email, plaintext, Details::default()).await;
    made.unwrap()
}

/// Would catch a process's clock that alone destroys a token, replaces it, or decides
/// how long it lives.
#[tokio::test]
async fn a_clock_31_days_ahead_destroys_nothing() {
    let server = server();
    let storage = new_keys(&ManualClock::at(right())).await;
    let now = process(&server, &storage, right()).await;
    let ahead = process(&server, &storage, right() + days(31.0)).await;
    let made = email(&now, "anna").await;

    let purged = ahead.purge_expired().await.unwrap();
    println!("{purged:?}");
    let expected = Purged {
        purged: 0,
        disputed: 1,
        durability: DurabilityStatus::AsAsked,
    };
    assert_eq!(purged, expected);
    let refused = ahead.reveal(made.token.as_str(), None).await;
    assert!(
        matches!(refused, Err(RevealError::Refused(Refusal::Expired))),
        "{refused:?}"
    );
    let again = email(&ahead, "anna").await;
    assert_eq!((&again.token, again.reused), (&made.token, true));
    let listing = now.tokens().export_metadata(None).await.unwrap();
    let end = parse_iso8601(&listing.tokens[0].expires_at).unwrap();
    assert!(
        end < SystemTime::UNIX_EPOCH + right() + days(30.1),
        "{end:?}"
    );
    let revealed = now.reveal(made.token.as_str(), None).await.unwrap();
    assert_eq!(revealed.expose(), "anna");
}

/// Would catch a process whose clock is behind and that reveals what has expired.
#[tokio::test]
async fn a_clock_that_is_behind_reveals_nothing_expired() {
    let clock = ManualClock::at(right());
    let storage = new_keys(&clock).await;
    let redis = InMemory::at(&clock);
    let behind = ManualClock::at(right() - days(31.0));
    let keys = keys(&storage, &behind).await;
    let store = Builder::new().vault_store(redis.clone());
    let vault = vault(store, MemoryChain::new(), keys, &behind, Deterministic::All);
    let made = email(&vault, "anna").await;
    vault.reveal(made.token.as_str(), None).await.unwrap();
    clock.advance(days(30.0));
    let refused = vault.reveal(made.token.as_str(), None).await;
    assert!(
        matches!(refused, Err(RevealError::Refused(Refusal::Expired))),
        "{refused:?}"
    );
    let restored = vault.detokenize(&[made.token.to_string()]).await.unwrap();
    assert!(restored[0].plaintext.is_none());
    // The process says that it is not yet past its end.
    let purged = vault.purge_expired().await.unwrap();
    assert_eq!((purged.purged, purged.disputed), (0, 1));
}

/// Before the first attempt another process creates the token, and the server's clock
/// jumps.
struct Jumping {
    other: Vault<MemoryVault<ManualClock>>,
    server: ManualClock,
    jumped: AtomicBool,
}

impl VaultHooks<MemoryVault<ManualClock>> for Jumping {
    async fn apply(
        &self,
        next: &MemoryVault<ManualClock>,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        if !self.jumped.swap(true, Ordering::Relaxed) {
            email(&self.other, "anna").await;
            self.server.advance(days(60.0));
        }
        next.apply(attempt, observed).await
    }
}

/// Would catch a token that is past its end when it is made, since the server's clock
/// jumped between two runs of its mutation.
#[tokio::test]
async fn a_new_end_starts_at_the_servers_time_of_the_run_that_is_applied() {
    let own = ManualClock::at(right() + days(60.0));
    let server = ManualClock::at(right());
    let keys = keys(&new_keys(&own).await, &own).await;
    let memory = MemoryVault::with_clock(VaultModel::default(), server.clone());
    let over = |keys| {
        vault(
            memory.clone(),
            MemoryChain::new(),
            keys,
            &own,
            Deterministic::All,
        )
    };
    let jumping = Jumping {
        other: over(keys.clone()),
        server: server.clone(),
        jumped: AtomicBool::new(false),
    };
    let store = Hooked::new(memory.clone(), jumping);
    let vault = vault(store, MemoryChain::new(), keys, &own, Deterministic::All);
    email(&vault, "anna").await;
    let listing = vault.tokens().export_metadata(None).await.unwrap();
    let end = parse_iso8601(&listing.tokens[0].expires_at).unwrap();
    assert!(server.wall() < end, "{end:?}");
}

/// A vault in a simulated Redis, its clock, and a token with a context.
async fn simulated() -> (ManualClock, Vault<RedisVaultStore<InMemory>>, Tokenized) {
    let clock = ManualClock::at(right());
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let store = Builder::new().vault_store(InMemory::at(&clock));
    let vault = vault(store, MemoryChain::new(), keys, &clock, Deterministic::All);
    let kind = TokenType::new("email").unwrap();
    let mut details = Details::default();
    details.context = JsonObject::from_json(r#"{"path":"a"}"#).unwrap();
    let made = vault.tokenize(&kind, "anna", details).await.unwrap();
    (clock, vault, made)
}

/// Changes a stored record as nobody should.
async fn tamper(
    vault: &Vault<RedisVaultStore<InMemory>>,
    from: &Tokenized,
    to: &Tokenized,
    change: impl Fn(&mut Value) + Send + Sync,
) {
    let (from, to) = (from.token.clone(), to.token.clone());
    let write = move |view: &mut View| {
        // Absent before it is loaded; then this runs again.
        let Some(stored) = view.get(&from) else {
            return;
        };
        let mut record: Value = serde_json::from_slice(stored.bytes()).unwrap();
        change(&mut record);
        view.set(&to, record.to_string());
    };
    vault.tokens().transaction([], write).await.unwrap();
}

/// Would catch a reveal that opens another token's record, with or without a context,
/// and a refresh that seals a plaintext under another token's name.
#[tokio::test]
async fn a_copied_record_does_not_reveal() {
    let (_, vault, anna) = simulated().await;
    let bob = email(&vault, "bob").await;
    tamper(&vault, &anna, &bob, |_| {}).await;
    let context = JsonObject::from_json(r#"{"path":"a"}"#).unwrap();
    for context in [None, Some(&context)] {
        let refused = vault.reveal(bob.token.as_str(), context).await;
        assert!(
            matches!(refused, Err(RevealError::Refused(Refusal::OtherToken))),
            "{refused:?}"
        );
    }
    let both = [bob.token.to_string(), anna.token.to_string()];
    let restored = vault.detokenize(&both).await.unwrap();
    assert!(restored[0].plaintext.is_none());
    assert_eq!(restored[1].plaintext.as_ref().unwrap().expose(), "anna");
    let kind = TokenType::new("email").unwrap();
    let refused = vault.tokenize(&kind, "bob", Details::default()).await;
    let refused = refused.unwrap_err().to_string();
    assert!(refused.contains("names another token"), "{refused}");
}

/// Would catch an end that was moved and revives an expired token, and one that was
/// moved and destroys a live one.
#[tokio::test]
async fn a_moved_end_neither_revives_nor_destroys() {
    let (clock, vault, anna) = simulated().await;
    let far = iso8601(clock.wall() + days(3000.0));
    let near = iso8601(clock.wall());
    tamper(&vault, &anna, &anna, |record| {
        record["expiresAt"] = near.clone().into();
        record["envelope"]["expiresAt"] = near.clone().into();
    })
    .await;
    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    vault.reveal(anna.token.as_str(), None).await.unwrap_err();

    clock.advance(days(31.0));
    tamper(&vault, &anna, &anna, |record| {
        record["expiresAt"] = far.clone().into();
        record["envelope"]["expiresAt"] = far.clone().into();
    })
    .await;
    let refused = vault.reveal(anna.token.as_str(), None).await;
    assert!(
        matches!(refused, Err(RevealError::Refused(Refusal::EnvelopeExpired))),
        "{refused:?}"
    );
    // Moving the bound end too, the envelope does not open.
    tamper(&vault, &anna, &anna, |record| {
        record["aad"]["expiresAt"] = far.clone().into();
    })
    .await;
    let refused = vault.reveal(anna.token.as_str(), None).await;
    assert!(
        matches!(refused, Err(RevealError::Refused(Refusal::Decrypt(_)))),
        "{refused:?}"
    );
}

/// Would catch a token that is destroyed, or missing in a list, before its
/// envelope ends, if only the envelope says so, as in the reference's records.
#[tokio::test]
async fn an_envelopes_end_counts_too() {
    let (clock, vault, anna) = simulated().await;
    let near = iso8601(clock.wall());
    tamper(&vault, &anna, &anna, |record| {
        record["expiresAt"] = near.clone().into();
        record["aad"].as_object_mut().unwrap().remove("expiresAt");
    })
    .await;
    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    let listed = async || vault.tokens().export_metadata(None).await.unwrap().tokens;
    assert_eq!(listed().await.len(), 1);
    clock.advance(days(30.0));
    assert_eq!(listed().await.len(), 0);
    assert_eq!(vault.purge_expired().await.unwrap().purged, 1);
}

/// Would catch a token whose end was moved nearer and that stays due, and a purge
/// that ends at those before it meets what has expired.
#[tokio::test]
async fn tokens_with_a_moved_end_do_not_hold_up_purging() {
    let (clock, vault, _) = simulated().await;
    vault.purge_expired().await.unwrap();
    clock.advance(days(20.0));
    let move_ends = async || {
        for number in 0..16 {
            let made = email(&vault, &number.to_string()).await;
            let near = iso8601(clock.wall());
            tamper(&vault, &made, &made, |record| {
                record["expiresAt"] = near.clone().into();
            })
            .await;
        }
    };
    move_ends().await;
    let pruned = async || vault.prune(16).await.unwrap();
    assert!(pruned().await.more);
    assert!(!pruned().await.more, "they are no longer due");
    move_ends().await;
    clock.advance(days(11.0));
    // Anna's has expired.
    assert_eq!(vault.purge_expired().await.unwrap().purged, 1);
}

/// Would catch a refreshed token whose bound end stays behind: it would no longer
/// reveal.
#[tokio::test]
async fn a_refresh_moves_the_bound_end_too() {
    let (clock, vault, anna) = simulated().await;
    clock.advance(days(20.0));
    assert!(email(&vault, "anna").await.reused);
    clock.advance(days(29.0));
    let revealed = vault.reveal(anna.token.as_str(), None).await.unwrap();
    assert_eq!(revealed.expose(), "anna");
}
