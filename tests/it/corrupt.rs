//! Corrupt and rolled back chains: detected at once, reported, and never
//! appended to.

use std::num::NonZeroU64;

use haechi_store_redis::{
    AppendError, Builder, Corrupt, OpenError,
    audit::{
        AuditSink, FileAnchors,
        store::{AuditStore, Seen},
    },
    chain::{Head, Position},
    redis::NotReady,
};
use redis::aio::MultiplexedConnection;

use crate::support::{ask, client, event, raw, run, server, store, verified};

async fn length(connection: &mut MultiplexedConnection) -> u64 {
    ask(connection, "LLEN haechi:audit:chain").await
}

async fn record(sink: &AuditSink, count: usize) -> Vec<Position> {
    let mut places = Vec::new();
    for number in 0..count {
        let end = sink.record(event(&format!("e{number}"))).await.unwrap();
        places.push(end.position);
    }
    places
}

async fn corrupt(sink: &AuditSink) -> Corrupt {
    match sink.record(event("late")).await {
        Err(AppendError::Corrupt(corrupt)) => corrupt,
        other => panic!("expected a corrupt state: {other:?}"),
    }
}

/// Would catch divergence that is retried like a conflict, and an append that
/// turns it into a fork. Each way in which the three keys can disagree, with
/// the head cached in a sink.
#[tokio::test]
async fn keys_that_disagree_are_found_at_once() {
    let integrity = r#"{"sequence":1,"previousHash":null,"eventHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    let tampering = [
        "DEL haechi:audit:head:hash",
        "DEL haechi:audit:head",
        "DEL haechi:audit:chain",
        "RPOP haechi:audit:chain",
        "RPUSH haechi:audit:chain {}",
        "LSET haechi:audit:chain -1 not-a-record",
        &format!("SET haechi:audit:head {integrity}"),
    ];
    for words in tampering {
        let server = server();
        let mut tamper = raw(&server).await;
        let sink = Builder::new().open_audit(client(&server)).await.unwrap();
        record(&sink, 3).await;
        run(&mut tamper, words).await;
        let before = length(&mut tamper).await;
        let found = corrupt(&sink).await;
        assert!(
            matches!(found, Corrupt::Diverged { .. }),
            "{words:?}: {found}"
        );
        assert_eq!(length(&mut tamper).await, before, "{words:?}");
        let refused = Builder::new().open_audit(client(&server)).await;
        let Err(OpenError { reason, .. }) = refused else {
            panic!("{words:?}: a store must not start on this");
        };
        assert_eq!(reason, NotReady::Diverged);
    }
}

/// Would catch a head with the right hash and a wrong sequence.
#[tokio::test]
async fn a_head_with_another_sequence_is_diverged() {
    let server = server();
    let mut tamper = raw(&server).await;
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    record(&sink, 3).await;
    let head: String = ask(&mut tamper, "GET haechi:audit:head").await;
    let head = head.replace("\"sequence\":3", "\"sequence\":999");
    run(&mut tamper, &format!("SET haechi:audit:head {head}")).await;
    assert!(matches!(corrupt(&sink).await, Corrupt::Diverged { .. }));
    assert_eq!(length(&mut tamper).await, 3);
}

/// Would catch a key of another type that is written to, or not named.
#[tokio::test]
async fn a_key_of_another_type_is_named() {
    for key in ["chain", "head", "head:hash"] {
        let server = server();
        let mut tamper = raw(&server).await;
        let key = format!("haechi:audit:{key}");
        run(&mut tamper, &format!("HSET {key} field value")).await;
        let sink = Builder::new().open_audit(client(&server)).await.unwrap();
        let expected = Corrupt::WrongType {
            key: key.clone(),
            found: "hash".to_owned(),
        };
        assert_eq!(corrupt(&sink).await, expected);
        let keys: Vec<String> = ask(&mut tamper, "KEYS haechi:audit:*").await;
        assert_eq!(keys, [key]);
    }
}

/// Would catch a rollback that is only detected by a lower head: here the chain
/// has regrown past the position seen.
#[tokio::test]
async fn a_rollback_is_detected_at_any_length() {
    for regrown in [0, 1, 2, 5] {
        let server = server();
        let mut tamper = raw(&server).await;
        let sink = Builder::new().open_audit(client(&server)).await.unwrap();
        record(&sink, 3).await;
        let head: String = ask(&mut tamper, "GET haechi:audit:head").await;
        let hash: String = ask(&mut tamper, "GET haechi:audit:head:hash").await;
        let seen = record(&sink, 2).await[1];
        // The state of a replica that lacks the last two records.
        run(&mut tamper, "LTRIM haechi:audit:chain 0 2").await;
        run(&mut tamper, &format!("SET haechi:audit:head {head}")).await;
        run(&mut tamper, &format!("SET haechi:audit:head:hash {hash}")).await;
        let other = Builder::new().open_audit(client(&server)).await.unwrap();
        record(&other, regrown).await;

        let Corrupt::RolledBack(rolled_back) = corrupt(&sink).await else {
            panic!("regrown by {regrown}: a rollback must be said");
        };
        assert_eq!(rolled_back.seen, seen);
        // It is reported again.
        assert!(matches!(corrupt(&sink).await, Corrupt::RolledBack(_)));
        assert_eq!(verified(&store(&server)).await.len(), 3 + regrown);
    }
}

/// Would catch a rollback that is reported for ever, though the records are there
/// again.
#[tokio::test]
async fn restored_records_end_a_rollback() {
    let server = server();
    let mut tamper = raw(&server).await;
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    record(&sink, 2).await;
    run(&mut tamper, "COPY haechi:audit:chain chain").await;
    run(&mut tamper, "COPY haechi:audit:head head").await;
    run(&mut tamper, "COPY haechi:audit:head:hash hash").await;
    run(
        &mut tamper,
        "DEL haechi:audit:chain haechi:audit:head haechi:audit:head:hash",
    )
    .await;
    assert!(matches!(corrupt(&sink).await, Corrupt::RolledBack(_)));
    run(&mut tamper, "RENAME chain haechi:audit:chain").await;
    run(&mut tamper, "RENAME head haechi:audit:head").await;
    run(&mut tamper, "RENAME hash haechi:audit:head:hash").await;
    assert_eq!(record(&sink, 1).await[0].sequence.get(), 3);
}

/// Would catch a rollback that is forgotten once the position that was seen is
/// trimmed, so that nothing can be compared any more.
#[tokio::test]
async fn a_trimmed_list_does_not_end_a_rollback() {
    let server = server();
    let mut tamper = raw(&server).await;
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    record(&sink, 2).await;
    run(
        &mut tamper,
        "DEL haechi:audit:chain haechi:audit:head haechi:audit:head:hash",
    )
    .await;
    let other = Builder::new().open_audit(client(&server)).await.unwrap();
    record(&other, 5).await;
    assert!(matches!(corrupt(&sink).await, Corrupt::RolledBack(_)));
    run(&mut tamper, "LTRIM haechi:audit:chain 3 -1").await;
    assert!(matches!(corrupt(&sink).await, Corrupt::RolledBack(_)));
}

/// Would catch a rollback reported for records that were trimmed.
#[tokio::test]
async fn a_trimmed_list_is_not_a_rollback() {
    let server = server();
    let mut tamper = raw(&server).await;
    let sink = Builder::new().open_audit(client(&server)).await.unwrap();
    let places = record(&sink, 10).await;
    run(&mut tamper, "LTRIM haechi:audit:chain 5 -1").await;
    let store = store(&server);
    let tail = store.tail(Some(places[2])).await.unwrap();
    assert_eq!(tail.seen, Seen::Trimmed);
    assert_eq!(tail.head, Head::At(places[9]));
    let tail = store.tail(Some(places[6])).await.unwrap();
    assert_eq!(tail.seen, Seen::Stands);
    let next = record(&sink, 1).await[0];
    assert_eq!(next.sequence.get(), 11);
}

/// Would catch a service that begins a second chain on an empty Redis although
/// its anchors say there was one; also in a process that runs on.
#[tokio::test]
async fn a_chain_that_was_flushed_is_not_begun_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("anchors.jsonl");
    let server = server();
    let mut commands = raw(&server).await;
    let open = async || {
        let anchors = FileAnchors::open(&path).unwrap();
        Builder::new()
            .anchors(anchors, NonZeroU64::MIN)
            .open_audit(client(&server))
            .await
            .unwrap()
    };
    let running = open().await;
    let positions = record(&running, 3).await;
    run(&mut commands, "FLUSHALL").await;
    for sink in [running, open().await, open().await] {
        let found = corrupt(&sink).await;
        let Corrupt::RolledBack(rolled_back) = &found else {
            panic!("{found}");
        };
        assert_eq!(rolled_back.seen, positions[2]);
        assert_eq!(rolled_back.met, Head::Empty);
        assert_eq!(length(&mut commands).await, 0);
    }
}
