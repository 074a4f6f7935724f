//! The vault's rollback, and going on after it.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};

use haechi_store_redis::{
    AttemptError, Builder, Cause, Corrupt, ReadError, SeenFile,
    audit::store::{AuditStore, Batch, Reply},
    test_util::{AuditHooks, Hooked, VaultHooks},
    vault::{
        Details, TokenId, TokenType, VaultPolicy, VaultResumeError, Version, View,
        store::{Applied, Attempt, Load, Loaded, Observed, VaultStore},
    },
};
use redis_sim::server_process::RedisServer;
use tokio::sync::Notify;

use super::{Snapshot, VAULT, close, keys};
use crate::support::{client, raw, run, server, store, verified};

/// Loses the whole vault when a record is appended.
struct LosesVault(Arc<RedisServer>);

impl<S: AuditStore> AuditHooks<S> for LosesVault {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let mut connection = raw(&self.0).await;
        run(&mut connection, &format!("DEL {}", VAULT.join(" "))).await;
        next.append(batch).await
    }
}

/// Would catch a vault that goes on after more is lost than was accepted.
#[tokio::test]
async fn what_a_vault_loses_meanwhile_is_not_accepted() {
    let server = Arc::new(server());
    let losing = LosesVault(server.clone());
    let server = &*server;
    let builder = Builder::new();
    let audit = Hooked::new(builder.audit_store(client(server)), losing);
    let audit = Builder::new().audit_sink(audit);
    let store = builder.vault_store(client(server));
    let vault = builder.token_vault(store, keys().await, audit, VaultPolicy::default());
    let email = TokenType::new("email").unwrap();
    let tokenize = async |value: &str| {
        let made = vault.tokenize(&email, value, Details::default());
        made.await
    };
    tokenize("1@example.com").await.unwrap();
    let mut snapshot = Snapshot::named(server, VAULT, "kept").await;
    for value in ["2@example.com", "3@example.com"] {
        tokenize(value).await.unwrap();
    }
    snapshot.restore().await;
    assert!(tokenize("late@example.com").await.is_err());
    let resumed = vault.resume(Version::new(2)..=Version::new(3)).await;
    assert!(
        matches!(
            resumed,
            Err(VaultResumeError::Read(ReadError::Corrupt(
                Corrupt::VaultRolledBack { .. }
            )))
        ),
        "{resumed:?}"
    );
    assert!(tokenize("late@example.com").await.is_err());
    let all = vault.resume(Version::new(1)..=Version::new(3)).await;
    all.unwrap();
    tokenize("on@example.com").await.unwrap();
}

/// Would catch a vault whose rollback is not noticed after a restart, one that goes
/// on without an acceptance or with the wrong one, and an acceptance that is not
/// audited.
#[tokio::test]
async fn a_vault_goes_on_when_its_loss_is_accepted() {
    let server = server();
    let keys = keys().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = async || {
        let builder = Builder::new().seen_file(SeenFile::open(&path).unwrap());
        let open = builder.open(client(&server), keys.clone(), VaultPolicy::default());
        open.await.unwrap()
    };
    let email = TokenType::new("email").unwrap();
    let (audit, vault) = open().await;
    for number in 0..3 {
        let value = format!("{number}@example.com");
        vault
            .tokenize(&email, &value, Details::default())
            .await
            .unwrap();
    }
    let nothing = vault.resume(Version::new(3)..=Version::new(3)).await;
    assert!(
        matches!(nothing, Err(VaultResumeError::NothingLost(_))),
        "{nothing:?}"
    );
    drop(vault);
    close(audit).await;
    let delete = format!("DEL {}", VAULT.join(" "));
    run(&mut raw(&server).await, &delete).await;

    let (audit, vault) = open().await;
    let refused = vault
        .tokenize(&email, "late@example.com", Details::default())
        .await;
    assert!(refused.unwrap_err().to_string().contains("rolled back"));
    for (first, last) in [(1, 2), (2, 3), (0, 3), (1, 4)] {
        let wrong = vault.resume(Version::new(first)..=Version::new(last)).await;
        assert!(
            matches!(wrong, Err(VaultResumeError::NotThese { .. })),
            "{wrong:?}"
        );
    }
    assert_eq!(verified(&store(&server)).await.len(), 0);
    vault
        .resume(Version::new(1)..=Version::new(3))
        .await
        .unwrap();
    assert_eq!(verified(&store(&server)).await.len(), 1);
    vault
        .tokenize(&email, "on@example.com", Details::default())
        .await
        .unwrap();
    drop(vault);
    close(audit).await;

    // The file begins with what there is.
    let (_audit, vault) = open().await;
    vault
        .tokenize(&email, "on@example.com", Details::default())
        .await
        .unwrap();
}

/// Would catch what is read after a rollback and is kept as what was seen, so that a
/// restart forgets the rollback.
#[tokio::test]
async fn reads_after_a_rollback_are_not_what_was_seen() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || {
        let file = SeenFile::open(&path).unwrap();
        let builder = Builder::new().seen_file(file.clone());
        let store = builder.vault_store(client(&server));
        (file, builder.token_store(store))
    };
    let token = TokenId::new("t").unwrap();
    let set = |view: &mut View| view.set(&token, "1");
    let (file, tokens) = open();
    for _ in 0..3 {
        tokens.transaction([], set).await.unwrap();
    }
    run(&mut raw(&server).await, "FLUSHALL").await;
    let builder = Builder::new();
    let other = builder.token_store(builder.vault_store(client(&server)));
    for _ in 0..5 {
        other.transaction([], set).await.unwrap();
    }
    let names = [token.clone()];
    assert!(tokens.read_tokens(&names).await.is_err());
    // From then on it is read as it is.
    tokens.read_tokens(&names).await.unwrap();
    file.save().unwrap();
    drop((file, tokens));
    let (_file, restarted) = open();
    assert!(restarted.transaction([], set).await.is_err());
}

/// Would catch a vault that is refused for ever although what was lost was restored, as the
/// message says, and one that goes on while it is gone.
#[tokio::test]
async fn a_restored_vault_goes_on() {
    let server = server();
    let builder = Builder::new();
    let tokens = builder.token_store(builder.vault_store(client(&server)));
    let token = TokenId::new("t").unwrap();
    let set = |view: &mut View| view.set(&token, "1");
    for _ in 0..3 {
        tokens.transaction([], set).await.unwrap();
    }
    let mut snapshot = Snapshot::named(&server, VAULT, "kept").await;
    snapshot.lose().await;
    for _ in 0..2 {
        assert!(tokens.transaction([], set).await.is_err());
    }
    tokens.read_tokens(&[]).await.unwrap();
    snapshot.restore().await;
    tokens.transaction([], set).await.unwrap();
}

/// Would catch a loss of other writers' mutations that is forgotten once the version has
/// grown again: the newest receipt tells nothing of them.
#[tokio::test]
async fn a_version_that_was_lower_stays_told() {
    let server = server();
    let builder = Builder::new();
    let tokens = builder.token_store(builder.vault_store(client(&server)));
    let token = TokenId::new("t").unwrap();
    let mut count = 0;
    let mut set = |view: &mut View| {
        count += 1;
        view.set(&token, count.to_string());
    };
    let mut connection = raw(&server).await;
    tokens.transaction([], &mut set).await.unwrap();
    // Two of a replica of the npm package, which leave no receipts.
    run(&mut connection, "SET haechi:tv:version 3").await;
    tokens.read_tokens(&[]).await.unwrap();
    run(&mut connection, "SET haechi:tv:version 1").await;
    assert!(tokens.transaction([], &mut set).await.is_err());
    run(&mut connection, "SET haechi:tv:version 9").await;
    assert!(tokens.transaction([], &mut set).await.is_err());
}

/// Answers once as after a rollback: to the first request to read, or to the first attempt.
struct FalseAlarm {
    at_apply: bool,
    was_raised: AtomicBool,
}

impl FalseAlarm {
    fn raise(&self, at_apply: bool) -> Result<(), AttemptError> {
        if at_apply != self.at_apply || self.was_raised.swap(true, SeqCst) {
            return Ok(());
        }
        Err(AttemptError::Corrupt(Corrupt::VaultRolledBack {
            prefix: "haechi:tv:".to_owned(),
            seen: 9,
            met: 9,
        }))
    }
}

impl<S: VaultStore> VaultHooks<S> for FalseAlarm {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        self.raise(false)?;
        next.load(what, observed).await
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.raise(true)?;
        next.apply(attempt, observed).await
    }
}

/// Would catch a rollback of the vault that is told although a second look does not find it.
#[tokio::test]
async fn a_rollback_of_the_vault_is_looked_at_twice() {
    let server = server();
    let token = TokenId::new("t").unwrap();
    let set = |view: &mut View| view.set(&token, "1");
    for at_apply in [false, true] {
        let open = || {
            let builder = Builder::new();
            let alarm = FalseAlarm {
                at_apply,
                was_raised: AtomicBool::new(false),
            };
            let store = builder.vault_store(client(&server));
            builder.token_store(Hooked::new(store, alarm))
        };
        open().transaction([], set).await.unwrap();
        open().read_tokens(&[]).await.unwrap();
    }
}

/// One mutation of another process.
async fn another_mutates(server: &RedisServer, times: usize) {
    let builder = Builder::new();
    let other = builder.token_store(builder.vault_store(client(server)));
    for _ in 0..times {
        let set = |view: &mut View| view.set(&TokenId::new("other").unwrap(), "1");
        other.transaction([], set).await.unwrap();
    }
}

/// Would catch a lost mutation that nobody misses, because the one after it, whose reply was
/// lost, is sent again and gets the same version and the same receipt's number.
#[tokio::test]
async fn a_receipt_that_is_written_again_after_others_is_not_the_one_that_was_seen() {
    let server = server();
    let builder = Builder::new();
    let open = || builder.token_store(builder.vault_store(client(&server)));
    let token = TokenId::new("t").unwrap();
    let set = |view: &mut View| view.set(&token, "1");
    let (tokens, other) = (open(), open());
    let ticket = other.ticket().await.unwrap();
    for flushed in [false, true] {
        if flushed {
            run(&mut raw(&server).await, "FLUSHALL").await;
            another_mutates(&server, 1).await;
        } else {
            tokens.transaction([], set).await.unwrap();
        }
        let sent = open().transaction_as(&ticket, [], set).await.unwrap();
        assert_eq!(sent.version, Some(Version::new(2)));
        let read = tokens.read_tokens(&[]).await;
        assert_eq!(read.is_err(), flushed, "{read:?}");
    }
    assert!(tokens.transaction([], set).await.is_err());
}

/// Holds the first request to read back until it is told to go on.
#[derive(Clone, Default)]
struct HeldRead {
    was_held: Arc<AtomicBool>,
    go_on: Arc<Notify>,
}

impl<S: VaultStore> VaultHooks<S> for HeldRead {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        if !self.was_held.swap(true, SeqCst) {
            self.go_on.notified().await;
        }
        next.load(what, observed).await
    }
}

/// Would catch a read that was sent before a mutation was seen, finds the vault without it,
/// and takes its place as what was seen last.
#[tokio::test]
async fn an_answer_to_an_earlier_request_does_not_hide_what_was_seen_since() {
    let server = server();
    let builder = Builder::new();
    let held = HeldRead::default();
    let store = Hooked::new(builder.vault_store(client(&server)), held.clone());
    let tokens = builder.token_store(store);
    let set = |view: &mut View| view.set(&TokenId::new("t").unwrap(), "1");
    let names = [];
    let late = tokens.read_tokens(&names);
    let meanwhile = async {
        tokens.transaction([], set).await.unwrap();
        run(&mut raw(&server).await, "FLUSHALL").await;
        another_mutates(&server, 3).await;
        held.go_on.notify_one();
    };
    let (late, ()) = tokio::join!(late, meanwhile);
    late.unwrap();
    assert!(tokens.transaction([], set).await.is_err());
}

/// Would catch a process that looks for one of two receipts only which it has seen at once.
#[tokio::test]
async fn both_of_two_receipts_seen_at_once_are_looked_for() {
    let server = server();
    let builder = Builder::new();
    let held = HeldRead::default();
    let store = Hooked::new(builder.vault_store(client(&server)), held.clone());
    let tokens = builder.token_store(store);
    let set = |view: &mut View| view.set(&TokenId::new("t").unwrap(), "1");
    let names = [];
    let late = tokens.read_tokens(&names);
    let meanwhile = async {
        tokens.transaction([], set).await.unwrap();
        let snapshot = Snapshot::named(&server, VAULT, "kept").await;
        another_mutates(&server, 1).await;
        held.go_on.notify_one();
        snapshot
    };
    let (late, mut snapshot) = tokio::join!(late, meanwhile);
    late.unwrap();
    snapshot.restore().await;
    another_mutates(&server, 2).await;
    assert!(tokens.transaction([], set).await.is_err());
}

/// Would catch a token store that overwrites what another one of its process has seen, whose
/// loss nobody finds then, also not after a restart.
#[tokio::test]
async fn token_stores_that_share_a_file_look_for_what_the_others_have_seen() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let file = SeenFile::open(directory.path().join("seen.json")).unwrap();
    let open = || {
        let builder = Builder::new().seen_file(file.clone());
        builder.token_store(builder.vault_store(client(&server)))
    };
    let (first, second) = (open(), open());
    let set = |view: &mut View| view.set(&TokenId::new("t").unwrap(), "1");
    second.read_tokens(&[]).await.unwrap();
    first.transaction([], set).await.unwrap();
    second.transaction([], set).await.unwrap();
    first.transaction([], set).await.unwrap();
    run(&mut raw(&server).await, "FLUSHALL").await;
    another_mutates(&server, 5).await;
    for tokens in [second, open()] {
        assert!(tokens.transaction([], set).await.is_err());
    }
}

/// Loses the reply to the first attempt.
#[derive(Default)]
struct LosesReply(AtomicBool);

impl<S: VaultStore> VaultHooks<S> for LosesReply {
    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let applied = next.apply(attempt, observed).await;
        match self.0.swap(true, SeqCst) {
            true => applied,
            false => Err(AttemptError::Ambiguous(Cause::new("lost"))),
        }
    }
}

/// Would catch a mutation that was found by its receipt and is not what its process has seen.
#[tokio::test]
async fn a_mutation_that_its_receipt_told_of_was_seen() {
    let server = server();
    let builder = Builder::new();
    let store = Hooked::new(builder.vault_store(client(&server)), LosesReply::default());
    let tokens = builder.token_store(store);
    let set = |view: &mut View| view.set(&TokenId::new("t").unwrap(), "1");
    tokens.transaction([], set).await.unwrap();
    run(&mut raw(&server).await, "FLUSHALL").await;
    another_mutates(&server, 3).await;
    assert!(tokens.transaction([], set).await.is_err());
}
