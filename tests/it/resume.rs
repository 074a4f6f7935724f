//! Rollbacks that are found after a restart, and going on after them.

use std::{
    collections::BTreeMap,
    io,
    num::NonZeroU64,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst},
        mpsc,
    },
};

use haechi_store_redis::{
    AppendError, AttemptError, Builder, Corrupt, ReadError, ResumeError, SeenFile,
    audit::{
        AnchorStatus, Appended, AuditConfig, AuditSink, FileAnchors, LossKeys,
        store::{AuditStore, Batch, Reply},
    },
    chain::{AcceptedLoss, Anchor, Loss, LostRange, Position},
    clock::SystemClock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
    redis::Connect,
    test_util::{AuditHooks, Hooked, VaultHooks},
    vault::{
        Details, TokenId, TokenType, VaultPolicy, VaultResumeError, Version, View,
        store::{Applied, Attempt, Load, Loaded, Observed, VaultStore},
    },
};
use redis::{
    Cmd, Pipeline, RedisFuture, RedisResult, Value,
    aio::{ConnectionLike, MultiplexedConnection},
};
use redis_sim::server_process::RedisServer;

use crate::support::{ask, client, event, raw, run, server, store, verified};

type Keys = LocalKeys<MemoryKeys>;

async fn keys() -> Arc<Keys> {
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    manage::init(&storage, &clock, &SystemEntropy)
        .await
        .unwrap();
    let keys = LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted);
    Arc::new(keys.await.unwrap())
}

fn range(text: &str) -> LostRange {
    text.parse().unwrap()
}

async fn sink(server: &RedisServer) -> AuditSink {
    Builder::new().open_audit(client(server)).await.unwrap()
}

async fn record(sink: &AuditSink, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in 0..count {
        let end = sink.record(event(&format!("e{number}"))).await.unwrap();
        positions.push(end.position);
    }
    positions
}

/// Closes the sink, and with it its file.
async fn close(sink: AuditSink) {
    sink.close(std::time::Duration::from_secs(5)).await;
}

fn is_rolled_back(end: &Result<Appended, AppendError>) -> bool {
    matches!(end, Err(AppendError::Corrupt(Corrupt::RolledBack(_))))
}

/// Keeps the keys of the chain under this name, and puts them back: a restored snapshot.
struct Snapshot(MultiplexedConnection, &'static str);

const CHAIN: [&str; 3] = ["chain", "head", "head:hash"];

impl Snapshot {
    async fn take(server: &RedisServer) -> Self {
        Self::named(server, "kept").await
    }

    async fn named(server: &RedisServer, name: &'static str) -> Self {
        let mut connection = raw(server).await;
        for key in CHAIN {
            let copy = format!("COPY haechi:audit:{key} {name}:{key} REPLACE");
            run(&mut connection, &copy).await;
        }
        Self(connection, name)
    }

    async fn restore(&mut self) {
        for key in CHAIN {
            run(&mut self.0, &format!("DEL haechi:audit:{key}")).await;
            let copy = format!("COPY {}:{key} haechi:audit:{key}", self.1);
            run(&mut self.0, &copy).await;
        }
    }
}

/// Would catch a rollback that a restarted process does not notice, and a file
/// that is behind when the sink is closed.
#[tokio::test]
async fn what_was_seen_outlives_the_process() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let before = sink(&server).await;
    record(&before, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = open().open_audit(client(&server)).await.unwrap();
    record(&seen, 2).await;
    close(seen).await;
    snapshot.restore().await;
    record(&sink(&server).await, 4).await;

    let restarted = open().open_audit(client(&server)).await.unwrap();
    assert!(is_rolled_back(&restarted.record(event("late")).await));
    close(restarted).await;
    let reader = Builder::new().audit_store(client(&server));
    assert!(open().check_seen(&reader).await.is_err());
    // Without the file nothing tells of it.
    record(&sink(&server).await, 1).await;
    assert_eq!(verified(&store(&server)).await.len(), 8);
}

/// Would catch a process that only reads, whose file does not follow what it has
/// read.
#[tokio::test]
async fn who_only_reads_has_seen_it_too() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let reader = Builder::new().audit_store(client(&server));
    let look = async || {
        let file = SeenFile::open(&path).unwrap();
        Builder::new().seen_file(file).check_seen(&reader).await
    };
    record(&sink(&server).await, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    record(&sink(&server).await, 1).await;
    look().await.unwrap();
    record(&sink(&server).await, 1).await;
    look().await.unwrap();
    snapshot.restore().await;
    assert!(look().await.is_err());
    assert!(look().await.is_err());
}

/// Would catch a loss that is accepted though nothing was lost, or another one;
/// and a record that does not tell what was lost.
#[tokio::test]
async fn only_what_was_lost_is_accepted() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let resume = async |lost: &str| {
        let resumed = open().resume::<_, Keys>(client(&server), range(lost), None);
        resumed
            .await
            .map(|appended| appended.position.sequence.get())
    };
    assert!(matches!(
        resume("1..5").await,
        Err(ResumeError::NothingSeen)
    ));
    let first = open().open_audit(client(&server)).await.unwrap();
    record(&first, 3).await;
    let mut snapshot = Snapshot::take(&server).await;
    let lost = record(&first, 2).await;
    close(first).await;
    assert!(matches!(
        resume("4..5").await,
        Err(ResumeError::NothingLost(_))
    ));
    snapshot.restore().await;
    for (wrong, expected) in [
        ("4..4", "--accept 4..5"),
        ("4..6", "--accept 4..5"),
        ("3..5", "--accept 4..5"),
        ("5..5", "--accept 4..5"),
    ] {
        let message = resume(wrong).await.unwrap_err().to_string();
        assert!(message.contains(expected), "{wrong}: {message}");
    }
    assert_eq!(verified(&store(&server)).await.len(), 3);
    assert_eq!(resume("4..5").await.unwrap(), 4);
    let chain = redis::cmd("LINDEX")
        .arg("haechi:audit:chain")
        .arg(3)
        .to_owned();
    let text: Vec<u8> = chain.query_async(&mut raw(&server).await).await.unwrap();
    let accepted = AcceptedLoss::of_record(&text).unwrap();
    assert_eq!(accepted.loss.range, range("4..5"));
    assert_eq!(accepted.loss.head_hash, lost[1].event_hash);
    // The file begins with what stands.
    let again = open().open_audit(client(&server)).await.unwrap();
    assert_eq!(record(&again, 1).await[0].sequence.get(), 5);
}

/// Would catch a replica that goes on without a record or with a forged one, one
/// that does not go on with a record made under its keys, or although the loss was
/// accepted for it.
#[tokio::test]
async fn replicas_go_on_when_they_meet_the_record() {
    let server = server();
    let (ours, others) = (keys().await, keys().await);
    let with = async |keys: &Arc<Keys>| {
        let open = Builder::new().open(client(&server), keys.clone(), VaultPolicy::default());
        open.await.unwrap().0
    };
    let (shared, foreign) = (with(&ours).await, with(&others).await);
    let told = Builder::new().accept(range("4..6"));
    let told = told.open_audit(client(&server)).await.unwrap();
    record(&shared, 2).await;
    record(&foreign, 1).await;
    let mut snapshot = Snapshot::take(&server).await;
    for replica in [&foreign, &told, &shared] {
        record(replica, 1).await;
    }
    snapshot.restore().await;
    for replica in [&shared, &foreign, &told] {
        assert!(is_rolled_back(&replica.record(event("late")).await));
    }
    // Regrown past what was seen.
    record(&sink(&server).await, 5).await;
    for replica in [&shared, &foreign, &told] {
        assert!(is_rolled_back(&replica.record(event("late")).await));
    }
    let forged = r#"{"operation":"audit:rollback-accepted","timestamp":"",
        "lost":{"from":4,"to":9,"headHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},"mac":"00"}"#;
    let forged = haechi_store_redis::chain::Event::from_json(forged).unwrap();
    sink(&server).await.record(forged).await.unwrap();
    for replica in [&shared, &foreign, &told] {
        assert!(is_rolled_back(&replica.record(event("late")).await));
    }
    // The last replica had seen all; the others less.
    let seen = shared.record(event("late")).await.unwrap_err();
    let AppendError::Corrupt(Corrupt::RolledBack(rolled_back)) = seen else {
        panic!("{seen}");
    };
    let resume = Builder::new().seen(rolled_back.seen);
    let resumed = resume.resume(client(&server), range("4..6"), Some(ours.clone()));
    assert_eq!(resumed.await.unwrap().position.sequence.get(), 10);
    for replica in [&shared, &told] {
        replica.record(event("on")).await.unwrap();
    }
    assert!(is_rolled_back(&foreign.record(event("late")).await));
    assert_eq!(verified(&store(&server)).await.len(), 12);
}

/// Would catch the record of an earlier loss that is taken for the acceptance of a
/// later one, of the same sequences.
#[tokio::test]
async fn each_loss_is_accepted_by_itself() {
    let server = server();
    let keys = keys().await;
    let open = async || {
        let open = Builder::new().open(client(&server), keys.clone(), VaultPolicy::default());
        open.await.unwrap().0
    };
    let replica = open().await;
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 4).await[3];
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume(client(&server), range("3..6"), Some(keys.clone()));
    resumed.await.unwrap();
    let mut snapshot = Snapshot::take(&server).await;
    // One that goes on, and one that starts afterwards.
    let late = open().await;
    record(&replica, 1).await;
    record(&late, 1).await;
    record(&replica, 1).await;
    snapshot.restore().await;
    assert!(is_rolled_back(&replica.record(event("late")).await));
    assert!(is_rolled_back(&late.record(event("late")).await));
}

/// Would catch a record that is not found, because it stands where the process had
/// searched before another rollback.
#[tokio::test]
async fn the_record_is_found_where_another_one_was_searched() {
    let server = server();
    let replica = Builder::new().accept(range("3..4"));
    let replica = replica.open_audit(client(&server)).await.unwrap();
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 2).await[1];
    snapshot.restore().await;
    record(&sink(&server).await, 6).await;
    assert!(is_rolled_back(&replica.record(event("late")).await));
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume::<_, Keys>(client(&server), range("3..4"), None);
    resumed.await.unwrap();
    record(&sink(&server).await, 6).await;
    replica.record(event("on")).await.unwrap();
}

/// Restores a snapshot before the command with this number, counted from 0.
#[derive(Clone)]
struct LosesMore {
    client: redis::Client,
    left: Arc<AtomicUsize>,
    snapshot: Arc<Mutex<Option<Snapshot>>>,
}

#[derive(Clone)]
struct Losing(MultiplexedConnection, LosesMore);

impl Connect for LosesMore {
    type Connection = Losing;

    async fn connect(&self) -> RedisResult<Losing> {
        let connection = self.client.get_multiplexed_async_connection().await?;
        Ok(Losing(connection, self.clone()))
    }
}

impl ConnectionLike for Losing {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let is_due = self.1.left.fetch_sub(1, SeqCst) == 0;
            let snapshot = is_due.then(|| self.1.snapshot.lock().unwrap().take());
            if let Some(mut snapshot) = snapshot.flatten() {
                snapshot.restore().await;
            }
            self.0.req_packed_command(cmd).await
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.0.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// Would catch a record that accepts less than is lost, because more was lost after it had
/// been looked at, before whichever command: a replica that had seen the rest would go on.
#[tokio::test]
async fn what_is_lost_meanwhile_is_not_accepted() {
    let mut ends = BTreeMap::new();
    for commands in 0.. {
        let server = server();
        let replica = sink(&server).await;
        record(&replica, 2).await;
        let earlier = Snapshot::named(&server, "earlier").await;
        record(&replica, 2).await;
        let mut later = Snapshot::take(&server).await;
        let seen = record(&replica, 2).await[1];
        later.restore().await;
        let snapshot = Arc::new(Mutex::new(Some(earlier)));
        let connect = LosesMore {
            client: client(&server),
            left: Arc::new(AtomicUsize::new(commands)),
            snapshot: snapshot.clone(),
        };
        let resume = async |lost: &str| {
            let resume = Builder::new().seen(seen);
            resume
                .resume::<_, Keys>(connect.clone(), range(lost), None)
                .await
        };
        let end = match resume("5..6").await {
            Err(ResumeError::NotTheFirst { .. }) => "looked at",
            Err(ResumeError::Append(AppendError::Corrupt(Corrupt::RolledBack(_)))) => "met",
            Ok(_) if snapshot.lock().unwrap().is_some() => break,
            other => panic!("{commands}: {other:?}"),
        };
        *ends.entry(end).or_insert(0) += 1;
        assert_eq!(verified(&store(&server)).await.len(), 2, "{commands}");
        let resumed = resume("3..6").await.unwrap();
        assert_eq!(resumed.position.sequence.get(), 3, "{commands}");
    }
    assert!(ends["looked at"] > 0 && ends["met"] > 1, "{ends:?}");
}

/// Loses the whole vault when a record is appended.
struct LosesVault(Arc<RedisServer>);

impl<S: AuditStore> AuditHooks<S> for LosesVault {
    async fn append(&self, next: &S, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let mut connection = raw(&self.0).await;
        for key in ["tokens", "version", "receipts", "expiry"] {
            run(&mut connection, &format!("DEL haechi:tv:{key}")).await;
        }
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
    let mut connection = raw(server).await;
    tokenize("1@example.com").await.unwrap();
    let kept = ["tokens", "version", "receipts", "expiry"];
    for key in kept {
        run(&mut connection, &format!("COPY haechi:tv:{key} {key}")).await;
    }
    for value in ["2@example.com", "3@example.com"] {
        tokenize(value).await.unwrap();
    }
    for key in kept {
        run(
            &mut connection,
            &format!("COPY {key} haechi:tv:{key} REPLACE"),
        )
        .await;
    }
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
    let mut connection = raw(&server).await;
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
    for key in ["tokens", "version", "receipts", "expiry"] {
        run(&mut connection, &format!("DEL haechi:tv:{key}")).await;
    }

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

/// Would catch a second loss that is taken for the first one, from whose record the process
/// went on, though it has seen what is gone since.
#[tokio::test]
async fn no_loss_is_accepted_twice() {
    let server = server();
    let keys = keys().await;
    let open = Builder::new().open(client(&server), keys.clone(), VaultPolicy::default());
    let replica = open.await.unwrap().0;
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 8).await[7];
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume(client(&server), range("3..10"), Some(keys.clone()));
    resumed.await.unwrap();
    let mut snapshot = Snapshot::take(&server).await;
    record(&replica, 4).await;
    snapshot.restore().await;
    assert!(is_rolled_back(&replica.record(event("late")).await));
}

/// Would catch a seen file whose rollback is not noticed because a higher position is
/// given, too: from another chain that has regrown.
#[tokio::test]
async fn a_higher_position_does_not_hide_the_file() {
    let server = server();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let open = || Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let mut snapshot = Snapshot::take(&server).await;
    let first = open().open_audit(client(&server)).await.unwrap();
    record(&first, 5).await;
    close(first).await;
    snapshot.restore().await;
    let head = record(&sink(&server).await, 9).await[8];
    let again = open().seen(head).open_audit(client(&server)).await.unwrap();
    assert!(is_rolled_back(&again.record(event("late")).await));
    close(again).await;
    let reader = Builder::new().audit_store(client(&server));
    assert!(open().seen(head).check_seen(&reader).await.is_err());
    // Nor does it overwrite what the file holds.
    assert!(open().check_seen(&reader).await.is_err());
}

/// Would catch a service that cannot start after a loss from which it went on, or which
/// was accepted with its file, as long as its anchors end with a lost record.
#[tokio::test]
async fn a_service_with_file_and_anchors_starts_after_an_accepted_loss() {
    for goes_on_itself in [true, false] {
        let server = server();
        let directory = tempfile::tempdir().unwrap();
        let (path, anchors) = (
            directory.path().join("seen.json"),
            directory.path().join("anchors.jsonl"),
        );
        let file = || SeenFile::open(&path).unwrap();
        let start = async |accepts: bool| {
            let every = std::num::NonZeroU64::new(9).unwrap();
            let anchors = FileAnchors::open(&anchors).unwrap();
            let builder = Builder::new().seen_file(file()).anchors(anchors, every);
            let builder = match accepts {
                true => builder.accept(range("5..9")),
                false => builder,
            };
            builder.open_audit(client(&server)).await.unwrap()
        };
        let replica = start(goes_on_itself).await;
        record(&replica, 4).await;
        let mut snapshot = Snapshot::take(&server).await;
        let seen = record(&replica, 5).await[4];
        snapshot.restore().await;
        let resume = async |builder: Builder| {
            let resumed = builder.resume::<_, Keys>(client(&server), range("5..9"), None);
            resumed.await.unwrap();
        };
        if goes_on_itself {
            resume(Builder::new().seen(seen)).await;
            replica.record(event("on")).await.unwrap();
            close(replica).await;
        } else {
            close(replica).await;
            resume(Builder::new().seen_file(file())).await;
        }
        for _ in 0..2 {
            let replica = start(false).await;
            replica.record(event("on")).await.unwrap();
            close(replica).await;
        }
        let again = Builder::new().seen_file(file()).seen(seen);
        let again = again.resume::<_, Keys>(client(&server), range("5..9"), None);
        let again = again.await;
        assert!(
            matches!(again, Err(ResumeError::AlreadyAccepted(_))),
            "{again:?}"
        );
        // Another loss is none of the accepted one.
        snapshot.restore().await;
        let replica = start(true).await;
        assert!(is_rolled_back(&replica.record(event("late")).await));
    }
}

/// A key that its process is given late.
#[derive(Default)]
struct LateKey(AtomicBool);

impl LossKeys for LateKey {
    fn verifies<'a>(
        &'a self,
        _: &'a Loss,
        _: &'a str,
    ) -> std::pin::Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async { self.0.load(SeqCst) })
    }
}

/// Would catch a process that never goes on because it met the record before it knew the
/// key: after a rotation, or while the key file could not be read.
#[tokio::test]
async fn a_key_may_come_after_the_record() {
    let server = server();
    let key = Arc::new(LateKey::default());
    let mut config = haechi_store_redis::audit::AuditConfig::default();
    config.accepted.keys = Some(key.clone());
    let open = Builder::new().audit_config(config);
    let replica = open.open_audit(client(&server)).await.unwrap();
    record(&replica, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    let seen = record(&replica, 2).await[1];
    snapshot.restore().await;
    let resume = Builder::new().seen(seen);
    let resumed = resume.resume(client(&server), range("3..4"), Some(keys().await));
    resumed.await.unwrap();
    for _ in 0..2 {
        record(&sink(&server).await, 3).await;
        assert!(is_rolled_back(&replica.record(event("late")).await));
    }
    key.0.store(true, SeqCst);
    replica.record(event("on")).await.unwrap();
}

/// Would catch a running service that does not go on when it meets the record, and a
/// resume that writes over its file.
#[tokio::test]
async fn a_running_service_goes_on_and_keeps_its_file() {
    let server = server();
    let keys = keys().await;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("seen.json");
    let builder = Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let open = builder.open(client(&server), keys.clone(), VaultPolicy::default());
    let (service, vault) = open.await.unwrap();
    record(&service, 2).await;
    let mut snapshot = Snapshot::take(&server).await;
    record(&service, 2).await;
    snapshot.restore().await;
    let refused = service.record(event("late")).await.unwrap_err();
    let message = refused.to_string();
    let next = "--accept FIRST..4 --head-hash ";
    assert!(
        message.contains(next) && message.contains("from 2 to 3: 3 if"),
        "{message}"
    );
    let busy = SeenFile::open(&path).unwrap_err();
    assert_eq!(busy.kind(), std::io::ErrorKind::ResourceBusy);
    let resume = async || {
        let file = Builder::new().seen_file(SeenFile::read(&path).unwrap());
        let resumed = file.resume(client(&server), range("3..4"), Some(keys.clone()));
        resumed.await
    };
    // It is written in the background.
    let written = || std::fs::read_to_string(&path).unwrap_or_default();
    while !written().contains(":4,") {
        tokio::task::yield_now().await;
    }
    resume().await.unwrap();
    service.record(event("on")).await.unwrap();
    drop(vault);
    close(service).await;
    let again = Builder::new().seen_file(SeenFile::open(&path).unwrap());
    let again = again.open_audit(client(&server)).await.unwrap();
    record(&again, 1).await;
}

/// Would catch a record after an accepted loss that is told as anchored because a lost one
/// with its sequence is: where the medium is slow, and no anchor fitted the queue.
#[tokio::test]
async fn anchors_begin_anew_once_they_fit_the_queue() {
    let server = server();
    let keys = keys().await;
    let (release, held) = mpsc::channel::<()>();
    let (written, anchors) = mpsc::channel();
    let slow = move |anchor: &Anchor| {
        let _ = held.recv();
        written
            .send(anchor.sequence.get())
            .map_err(io::Error::other)
    };
    let mut config = AuditConfig::default();
    config.batch_records = 1;
    let builder = Builder::new()
        .audit_config(config)
        .anchors(slow, NonZeroU64::MIN);
    let open = builder.open(client(&server), keys.clone(), VaultPolicy::default());
    let (service, _vault) = open.await.unwrap();
    let mut connection = raw(&server).await;
    let mut append = async |count: usize, length: usize| {
        let calls: Vec<_> = (0..count).map(|_| service.record(event("e"))).collect();
        let chain = "LLEN haechi:audit:chain";
        while ask::<usize>(&mut connection, chain).await < length {
            tokio::task::yield_now().await;
        }
        calls
    };
    let kept = append(10, 10).await;
    let mut snapshot = Snapshot::take(&server).await;
    let lost = append(90, 100).await;
    snapshot.restore().await;
    let refused = service.record(event("late")).await.unwrap_err();
    let AppendError::Corrupt(Corrupt::RolledBack(rolled_back)) = refused else {
        panic!("{refused}");
    };
    let resume = Builder::new().seen(rolled_back.seen);
    let resume = resume.resume(client(&server), range("11..100"), Some(keys));
    assert_eq!(resume.await.unwrap().position.sequence.get(), 11);
    let on = service.record(event("on")).await.unwrap();
    let why = "the anchor sink is slow, and too many anchors wait for it";
    assert_eq!(on.anchor, AnchorStatus::Missing(why.to_owned()));
    drop((release, kept, lost));
    // Until the queue has a place again.
    let last = loop {
        let next = service.record(event("next")).await.unwrap();
        if next.anchor == AnchorStatus::Written {
            break next.position.sequence.get();
        }
    };
    close(service).await;
    let anchors: Vec<_> = anchors.iter().collect();
    let after: Vec<_> = (12..=last).collect();
    assert!(anchors.ends_with(&after), "{anchors:?}");
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
    let mut connection = raw(&server).await;
    let keys = ["tokens", "version", "receipts", "expiry"];
    for _ in 0..3 {
        tokens.transaction([], set).await.unwrap();
    }
    for key in keys {
        run(&mut connection, &format!("COPY haechi:tv:{key} {key}")).await;
        run(&mut connection, &format!("DEL haechi:tv:{key}")).await;
    }
    for _ in 0..2 {
        assert!(tokens.transaction([], set).await.is_err());
    }
    tokens.read_tokens(&[]).await.unwrap();
    for key in keys {
        run(&mut connection, &format!("COPY {key} haechi:tv:{key}")).await;
    }
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
