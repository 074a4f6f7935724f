//! A chain begun by replicas in another language: other member orders, text
//! that is not a Rust string, and records that quote records.

use crate::support::{client, event, raw, run, server, store, verified};
use haechi_store_redis::{
    Builder,
    audit::store::{AuditStore, Seen},
    chain::{Event, Head, Position, StoredRecord},
};

/// The `auditIntegrity` of a record as JavaScript's JSON.stringify orders it.
fn integrity(at: Position, previous: Option<&str>) -> String {
    let previous = previous.map_or("null".to_owned(), |hash| format!("\"{hash}\""));
    format!(
        r#"{{"alg":"sha256","canonicalization":"json-stable-v1","sequence":{},"previousHash":{previous},"eventHash":"{}"}}"#,
        at.sequence, at.event_hash
    )
}

/// Stores a chain as the reference would, and appends to it.
async fn is_continued(records: &[(String, Position, Option<String>)]) {
    let server = server();
    let mut tamper = raw(&server).await;
    for (text, ..) in records {
        let mut push = redis::cmd("RPUSH");
        push.arg("haechi:audit:chain").arg(text);
        push.exec_async(&mut tamper).await.unwrap();
    }
    let (_, last, previous) = records.last().unwrap();
    let head = integrity(*last, previous.as_deref());
    run(&mut tamper, &format!("SET haechi:audit:head {head}")).await;
    let hash = last.event_hash.to_string();
    run(&mut tamper, &format!("SET haechi:audit:head:hash {hash}")).await;

    let sink = Builder::new()
        .seen(records[0].1)
        .open_audit(client(&server))
        .await
        .unwrap();
    let appended = sink.record(event("ours")).await.unwrap();
    assert_eq!(appended.position.sequence.get(), records.len() as u64 + 1);
    let store = store(&server);
    assert_eq!(verified(&store).await.len(), records.len() + 1);
    let tail = store.tail(Some(*last)).await.unwrap();
    assert_eq!(tail.seen, Seen::Stands);
}

/// Would catch divergence reported for another order of members.
#[tokio::test]
async fn a_chain_in_another_order_is_continued() {
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(include_str!("../vectors/chain.json")).unwrap();
    let records: Vec<_> = vectors
        .iter()
        .map(|vector| {
            let text = vector["stored"].as_str().unwrap().to_owned();
            let stored = StoredRecord::parse(text.as_bytes()).unwrap();
            let previous = stored.previous.map(|hash| hash.to_string());
            (text, stored.position, previous)
        })
        .collect();
    is_continued(&records).await;
}

/// Would catch a tail check that has to parse the tail, or that is confused by
/// a record which quotes another one's `auditIntegrity`.
#[tokio::test]
async fn odd_tails_are_continued() {
    let quoted = r#"{"auditIntegrity":{"sequence":7,"eventHash":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}}"#;
    let deep = format!("{}1{}", "[".repeat(100), "]".repeat(100));
    for body in [
        r#""a":"\ud800""#.to_owned(),
        format!(r#""a":{quoted}"#),
        format!(r#""z":{quoted}"#),
        r#""\"auditIntegrity":{"a":1}"#.to_owned(),
        format!(r#""a":{deep}"#),
    ] {
        let event = Event::from_json(&format!("{{{body}}}")).unwrap();
        let at = event.seal(None, &Head::Empty).unwrap().position();
        let text = format!(r#"{{{body},"auditIntegrity":{}}}"#, integrity(at, None));
        is_continued(&[(text, at, None)]).await;
    }
}
