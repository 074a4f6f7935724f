//! Tokens over time and under concurrent callers.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Cause, Corrupt, NotApplied,
    audit::store::AuditStore,
    chain::Event,
    crypto::manage,
    entropy::SystemEntropy,
    redis::RedisVaultStore,
    test_util::{Fault, Faults, Hooked, ManualClock, MemoryChain, MemoryVault, VaultHooks},
    vault::{
        Details, Deterministic, DetokenizeError, InvalidInput, JsonObject, MAX_PLAINTEXT,
        PurgeError, Refusal, Retention, RevealError, RevealPolicy, Stored, TokenType,
        TokenizeError, Tokenized, VaultConfig, VaultPolicy, View,
        store::{Indexed, VaultStore},
    },
};

use super::{Vault, clock_at, days, keys, new_keys, token, vault};
use crate::support::{InMemory, client, server};

type Simulated = RedisVaultStore<InMemory>;

const NOW: u64 = 1_760_000_000_000;

/// Tokenizes an e-mail address without details.
async fn emailed<S: VaultStore>(
    vault: &Vault<S>,
    plaintext: &str,
) -> Result<Tokenized, TokenizeError> {
    let email = TokenType::new("email").unwrap();
    vault.tokenize(&email, plaintext, Details::default()).await
}

/// A vault of its own in a simulated Redis, and what its time comes from.
async fn in_memory(deterministic: Deterministic) -> (ManualClock, Vault<Simulated>) {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let store = Builder::new().vault_store(InMemory::at(&clock));
    let vault = vault(store, MemoryChain::new(), keys, &clock, deterministic);
    (clock, vault)
}

/// Would catch an envelope that keeps its first expiry when its token is
/// refreshed: the token would be lost.
#[tokio::test]
async fn a_refreshed_token_reveals_past_its_first_end() {
    let (clock, vault) = in_memory(Deterministic::All).await;
    let made = emailed(&vault, "anna").await.unwrap();
    assert!(!made.reused);
    clock.advance(days(29.999));
    let again = emailed(&vault, "anna").await.unwrap();
    assert_eq!((&again.token, again.reused), (&made.token, true));
    for _ in 0..2 {
        clock.advance(days(14.9));
        let revealed = vault.reveal(made.token.as_str(), None).await.unwrap();
        assert_eq!(revealed.expose(), "anna");
    }
    // After that it is expired: absent at once, though not purged.
    clock.advance(days(0.3));
    let ended = vault.reveal(made.token.as_str(), None).await;
    assert!(
        matches!(ended, Err(RevealError::Refused(Refusal::Expired))),
        "{ended:?}"
    );
    let restored = vault.detokenize(&[made.token.to_string()]).await.unwrap();
    assert!(restored[0].plaintext.is_none());
    let anew = emailed(&vault, "anna").await.unwrap();
    assert_eq!((&anew.token, anew.reused), (&made.token, false));
    let revealed = vault.reveal(anew.token.as_str(), None).await.unwrap();
    assert_eq!(revealed.expose(), "anna");
}

/// Would catch a token that is live at its end, or expired before it.
#[tokio::test]
async fn a_token_expires_at_its_end_and_not_before() {
    let (clock, vault) = in_memory(Deterministic::All).await;
    let made = emailed(&vault, "anna").await.unwrap();
    clock.advance(days(30.0) - Duration::from_millis(1));
    vault.reveal(made.token.as_str(), None).await.unwrap();
    clock.advance(Duration::from_millis(1));
    let ended = vault.reveal(made.token.as_str(), None).await;
    assert!(
        matches!(ended, Err(RevealError::Refused(Refusal::Expired))),
        "{ended:?}"
    );
}

/// Would catch a refresh that shortens the life of a token.
#[tokio::test]
async fn a_shorter_retention_shortens_no_token() {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let redis = InMemory::at(&clock);
    let open = |retention: f64| {
        let mut policy = VaultPolicy::default();
        policy.retention = Retention::from_days(retention).unwrap();
        policy.deterministic = Deterministic::All;
        policy.reveal = RevealPolicy::Allowed("tests".to_owned());
        let store = Builder::new().vault_store(redis.clone());
        let builder = || Builder::new().clock(clock.clone());
        let audit = builder().audit_sink(MemoryChain::new());
        builder().token_vault(store, keys.clone(), audit, policy)
    };
    let email = TokenType::new("email").unwrap();
    let tokenize = |days: f64| {
        let (vault, email) = (open(days), email.clone());
        async move { vault.tokenize(&email, "anna", Details::default()).await }
    };
    let made = tokenize(30.0).await.unwrap();
    let again = tokenize(1.0).await.unwrap();
    assert_eq!((&again.token, again.reused), (&made.token, true));
    clock.advance(days(29.0));
    open(1.0).reveal(made.token.as_str(), None).await.unwrap();
}

/// Would catch two tokens of one value: in a race between replicas, and with
/// keys before and after a rotation.
#[tokio::test]
async fn replicas_agree_on_one_token() {
    let server = server();
    let clock = clock_at(NOW);
    let storage = new_keys(&clock).await;
    let open = async || {
        let store = Builder::new().vault_store(client(&server));
        let keys = keys(&storage, &clock).await;
        vault(store, MemoryChain::new(), keys, &clock, Deterministic::All)
    };
    let (one, two) = (open().await, open().await);
    for round in 0..50 {
        let value = format!("value {round}");
        let [first, second] = [&one, &two].map(|vault| {
            let (vault, value) = (vault.clone(), value.clone());
            tokio::spawn(async move { emailed(&vault, &value).await.unwrap() })
        });
        let (first, second) = (first.await.unwrap(), second.await.unwrap());
        assert_eq!(first.token, second.token);
        assert!(first.reused != second.reused, "one makes it, one finds it");
    }
    let listing = one.tokens().export_metadata(None).await.unwrap();
    assert_eq!(listing.tokens.len(), 50);

    let rotated = manage::rotate(&storage, &clock, &SystemEntropy).await;
    rotated.unwrap();
    let rotated = open().await;
    let found = emailed(&rotated, "value 7").await.unwrap();
    assert!(found.reused, "made under the key before the rotation");
    assert!(!emailed(&rotated, "value new").await.unwrap().reused);
    let revealed = rotated.reveal(found.token.as_str(), None).await.unwrap();
    assert_eq!(revealed.expose(), "value 7");
    // It has read the new key by then, and names the value as the others do.
    one.reveal(found.token.as_str(), None).await.unwrap();
    assert_eq!(emailed(&one, "value 7").await.unwrap().token, found.token);
}

/// As a foreign replica: copies the token that ends first under another name and
/// increments version, without the index.
async fn copy_foreign<S: VaultStore>(vault: &Vault<S>, redis: &Simulated) {
    let tokens = vault.tokens().read(View::entries).await.unwrap();
    let ends = |stored: &Stored| {
        let record: serde_json::Value = serde_json::from_slice(stored.bytes()).unwrap();
        record["expiresAt"].as_str().unwrap().to_owned()
    };
    let first = tokens.iter().min_by_key(|(_, stored)| ends(stored));
    let first = first.unwrap();
    let mut set = redis::cmd("HSET");
    set.arg("haechi:tv:tokens")
        .arg("theirs")
        .arg(first.1.bytes());
    redis.link().send(&set).await.unwrap();
    let mut increment = redis::cmd("INCR");
    increment.arg("haechi:tv:version");
    redis.link().send(&increment).await.unwrap();
}

/// Would catch a purge that removes live tokens, keeps expired ones, or does
/// not count; also for tokens that are not in the index.
#[tokio::test]
async fn expired_tokens_are_purged_and_counted() {
    let (clock, vault) = in_memory(Deterministic::None).await;
    for number in 0..700 {
        let plaintext = number.to_string();
        emailed(&vault, &plaintext).await.unwrap();
        if number == 599 {
            clock.advance(days(10.0));
        }
    }
    copy_foreign(&vault, vault.tokens().store()).await;

    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    clock.advance(days(20.5));
    let pruned = vault.prune(100).await.unwrap();
    assert_eq!((pruned.purged, pruned.more), (100, true));
    assert_eq!(vault.purge_expired().await.unwrap().purged, 501);
    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    let listing = vault.tokens().export_metadata(None).await.unwrap();
    assert_eq!(listing.tokens.len(), 100);
    clock.advance(days(10.0));
    assert_eq!(vault.purge_expired().await.unwrap().purged, 100);
    let left = vault.tokens().read(View::entries).await.unwrap();
    assert_eq!(left, []);
}

/// The first correction of the index is denied.
#[derive(Default)]
struct FirstIndexDenied(AtomicBool);

impl<S: VaultStore> VaultHooks<S> for FirstIndexDenied {
    async fn index(
        &self,
        next: &S,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> Result<(), AttemptError> {
        if !self.0.swap(true, Ordering::SeqCst) {
            return Err(AttemptError::Denied(Cause::new("no ZADD")));
        }
        next.index(tokens, whole).await
    }
}

/// Would catch an index that counts as complete after a rebuild that failed in
/// part.
#[tokio::test]
async fn a_rebuild_that_fails_is_repeated() {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let store = Builder::new().vault_store(InMemory::at(&clock));
    let store = Hooked::new(store, FirstIndexDenied::default());
    let vault = vault(store, MemoryChain::new(), keys, &clock, Deterministic::None);
    emailed(&vault, "anna").await.unwrap();
    copy_foreign(&vault, vault.tokens().store().store()).await;
    assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
    clock.advance(days(30.5));
    assert_eq!(vault.purge_expired().await.unwrap().purged, 2);
}

/// Would catch a plaintext that is returned unaudited, and a token that is purged
/// unaudited.
#[tokio::test]
async fn nothing_is_returned_or_purged_unaudited() {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let vault = vault(
        MemoryVault::new(),
        Hooked::new(MemoryChain::new(), Faults::new([], Fault::Denied)),
        keys,
        &clock,
        Deterministic::All,
    );
    let made = emailed(&vault, "hunter2").await.unwrap().token.to_string();
    let withheld = vault.reveal(&made, None).await.unwrap_err();
    assert!(
        matches!(
            withheld,
            RevealError::NotAudited(AppendError::NotApplied(_))
        ),
        "{withheld:?}"
    );
    let all = vault.detokenize(std::slice::from_ref(&made)).await;
    assert!(matches!(all, Err(DetokenizeError::NotAudited(_))));
    let purged = vault.purge(&made).await.unwrap_err();
    assert!(matches!(purged, PurgeError::NotAudited(_)));
    let all = vault.purge_expired().await;
    assert!(matches!(all, Err(PurgeError::NotAudited(_))), "{all:?}");
    let left = vault.tokens().read(View::entries).await.unwrap();
    assert_eq!(left.len(), 1);
    for message in [
        format!("{withheld:?}{withheld}"),
        format!("{purged:?}{purged}"),
    ] {
        assert!(!message.contains("hunter2"));
    }
}

/// Would catch input that is cut, changed or half written instead of refused,
/// and a limit that is off by one.
#[tokio::test]
async fn sizes_at_the_limit() {
    let (_, vault) = in_memory(Deterministic::All).await;
    for plaintext in [
        String::new(),
        "\0\u{10ffff}".to_owned(),
        "x".repeat(MAX_PLAINTEXT),
    ] {
        let made = emailed(&vault, &plaintext).await.unwrap();
        let revealed = vault.reveal(made.token.as_str(), None).await.unwrap();
        assert!(revealed.expose() == plaintext);
    }
    for bytes in [MAX_PLAINTEXT + 1, 10_000_000] {
        let refused = emailed(&vault, &"x".repeat(bytes)).await.unwrap_err();
        assert!(
            matches!(refused, TokenizeError::Invalid(InvalidInput::TooLong { bytes: named }) if named == bytes)
        );
    }
    let tokens = vault.tokens().read(View::entries).await.unwrap();
    assert_eq!(tokens.len(), 3);
}

/// Would catch one invalid field that affects the other tokens, or is
/// overwritten.
#[tokio::test]
async fn an_invalid_field_is_quarantined_and_named() {
    let (_, vault) = in_memory(Deterministic::All).await;
    let made = emailed(&vault, "anna").await.unwrap().token;
    for garbage in [
        "",
        "garbage",
        "{}",
        "[1]",
        "\u{1}",
        r#"{"type":"email","expiresAt":1}"#,
    ] {
        let spoil = |view: &mut View| {
            view.set(&made, garbage);
            view.set(&token("alsobad"), garbage);
        };
        vault.tokens().transaction([], spoil).await.unwrap();
        let refused = emailed(&vault, "anna").await.unwrap_err();
        assert!(
            matches!(&refused, TokenizeError::Corrupt(Corrupt::Token { token, .. }) if *token == made.as_str()),
            "{refused:?}"
        );
        let unread = vault.reveal(made.as_str(), None).await.unwrap_err();
        assert!(matches!(
            unread,
            RevealError::Refused(Refusal::Unreadable(_))
        ));
        let other = emailed(&vault, garbage).await.unwrap().token;
        vault.reveal(other.as_str(), None).await.unwrap();
        assert_eq!(vault.purge_expired().await.unwrap().purged, 0);
        let listing = vault.tokens().export_metadata(None).await.unwrap();
        let fields: Vec<_> = listing.quarantined.iter().map(|bad| &bad.field).collect();
        assert_eq!(fields, [&"alsobad".to_owned(), &made.to_string()]);
        assert!(vault.purge(other.as_str()).await.unwrap().existed);
    }
    // Purging it repairs the vault.
    assert!(vault.purge(made.as_str()).await.unwrap().existed);
    assert!(!emailed(&vault, "anna").await.unwrap().reused);
}

/// Would catch plaintexts that are not counted against the bytes that may wait.
#[tokio::test]
async fn the_plaintexts_that_wait_are_bounded_in_bytes() {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let mut config = VaultConfig::default();
    config.queue_bytes = 100_000;
    let builder = || {
        let builder = Builder::new().clock(clock.clone());
        builder.vault_config(config.clone())
    };
    let audit = builder().audit_sink(MemoryChain::new());
    let vault = builder().token_vault(MemoryVault::new(), keys, audit, Default::default());
    emailed(&vault, "anna").await.unwrap();
    let refused = emailed(&vault, &"x".repeat(50_000)).await.unwrap_err();
    assert!(
        matches!(refused, TokenizeError::NotApplied(NotApplied::Refused(_))),
        "{refused}"
    );
    let mut details = Details::default();
    let context = format!(r#"{{"path":"{}"}}"#, "x".repeat(50_000));
    details.context = JsonObject::from_json(&context).unwrap();
    let email = TokenType::new("email").unwrap();
    let refused = vault.tokenize(&email, "bob", details).await.unwrap_err();
    assert!(
        matches!(refused, TokenizeError::NotApplied(NotApplied::Refused(_))),
        "{refused}"
    );
}

/// Would catch a disabled policy that reveals, or is not audited.
#[tokio::test]
async fn a_disabled_policy_denies_and_is_audited() {
    let clock = clock_at(NOW);
    let keys = keys(&new_keys(&clock).await, &clock).await;
    let chain = MemoryChain::new();
    let builder = || Builder::new().clock(clock.clone());
    let audit = builder().audit_sink(chain.clone());
    let vault = builder().token_vault(MemoryVault::new(), keys, audit, Default::default());
    let made = emailed(&vault, "anna").await.unwrap().token;
    let denied = vault.reveal(made.as_str(), None).await.unwrap_err();
    assert!(matches!(
        denied,
        RevealError::Refused(Refusal::PolicyDisabled)
    ));
    let event = chain.read(0, 1).await.unwrap().remove(0);
    let event: serde_json::Value = serde_json::from_slice(&event).unwrap();
    assert_eq!(event["decision"], "reveal_denied");
    assert_eq!(event["reason"], "reveal_policy_disabled");
    assert_eq!(event["blocked"], true);
    assert_eq!(event["revealPolicy"], "disabled");
}

/// Would catch a derived `Debug` that logs an argument or a restored plaintext.
#[tokio::test]
async fn debug_shows_no_content() {
    let (_, vault) = in_memory(Deterministic::All).await;
    let object = || JsonObject::from_json(r#"{"name":"ada-lovelace"}"#).unwrap();
    let mut details = Details::default();
    details.context = object();
    details.metadata = object();
    let event = Event::from_json(r#"{"id":"ada-lovelace"}"#).unwrap();
    let made = emailed(&vault, "ada-lovelace").await.unwrap();
    let asked = [made.token.to_string(), "ada-lovelace".to_owned()];
    let restored = vault.detokenize(&asked).await.unwrap();
    let plaintext = restored[0].plaintext.as_ref().unwrap();
    assert_eq!(plaintext.expose(), "ada-lovelace");
    for shown in [
        format!("{details:?} {details:#?}"),
        format!("{event:?}"),
        format!("{restored:?}"),
    ] {
        assert!(!shown.contains("lovelace"), "{shown}");
    }
}
