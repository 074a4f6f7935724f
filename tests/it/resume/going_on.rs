//! Replicas that go on after an accepted loss.

use std::{
    io,
    num::NonZeroU64,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
        mpsc,
    },
};

use haechi_store_redis::{
    AppendError, Builder, Corrupt, ResumeError, SeenFile,
    audit::{AnchorStatus, AuditConfig, FileAnchors, LossKeys},
    chain::{Anchor, Event, Loss},
    vault::VaultPolicy,
};

use super::{Keys, Snapshot, close, is_rolled_back, keys, range, record, sink};
use crate::support::{ask, client, event, raw, server, store, verified};

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
    let forged = Event::from_json(forged).unwrap();
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
            let every = NonZeroU64::new(9).unwrap();
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
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        Box::pin(async { self.0.load(SeqCst) })
    }
}

/// Would catch a process that never goes on because it met the record before it knew the
/// key: after a rotation, or while the key file could not be read.
#[tokio::test]
async fn a_key_may_come_after_the_record() {
    let server = server();
    let key = Arc::new(LateKey::default());
    let mut config = AuditConfig::default();
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
    assert_eq!(busy.kind(), io::ErrorKind::ResourceBusy);
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
