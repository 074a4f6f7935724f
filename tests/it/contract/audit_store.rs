//! The contract of `AuditStore`, and of a sink over it.

use std::time::Duration;

use haechi_store_redis::{
    AppendError, Builder, NotApplied,
    audit::{
        AuditConfig,
        store::{AuditStore, Batch, Reply, Seen, Tail},
    },
    chain::{AppendId, Event, Head, Position, Record},
    test_util::MemoryChain,
};

use crate::support::{InMemory, verified};

fn event(number: usize) -> Event {
    Event::from_json(&format!(r#"{{"id":"e{number}","operation":"protect"}}"#)).unwrap()
}

fn seal(id: u8, number: usize, head: &Head) -> Record {
    event(number)
        .seal(Some(&AppendId::from_bytes([id; 16])), head)
        .unwrap()
}

fn batch(base: Head, records: &[Record], seen: Option<Position>, resent: bool) -> Batch<'_> {
    Batch {
        base,
        records,
        seen,
        resent,
    }
}

fn at(record: &Record) -> Head {
    Head::At(record.position())
}

/// What a store says to a batch on a head that has moved.
async fn conflict<S: AuditStore>(store: &S, batch: &Batch<'_>) -> (Tail, bool) {
    match store.append(batch).await.unwrap() {
        Reply::Conflict { tail, applied } => (tail, applied),
        Reply::Committed => panic!("a moved head must be a conflict"),
    }
}

/// Catches a store whose fence does not compare, or that appends in part.
async fn a_batch_lands_whole_or_not_at_all<S: AuditStore>(store: S) {
    let first = seal(1, 1, &Head::Empty);
    let second = seal(2, 2, &at(&first));
    let records = [first.clone(), second.clone()];
    let whole = batch(Head::Empty, &records, None, false);
    assert!(matches!(
        store.append(&whole).await.unwrap(),
        Reply::Committed
    ));

    // The same again: the chain is no longer empty.
    let (tail, applied) = conflict(&store, &whole).await;
    assert_eq!(tail.head, at(&second));
    assert_eq!(tail.length, 2);
    assert!(!applied, "only a batch sent again asks for this");
    assert_eq!(verified(&store).await.len(), 2);
}

/// Catches a store that cannot tell whether a copy whose reply was lost has
/// been applied: below the head, at the head, and not at all.
async fn a_batch_sent_again_learns_its_fate<S: AuditStore>(store: S) {
    let first = seal(1, 1, &Head::Empty);
    let mine = [first.clone()];
    let other = seal(2, 2, &at(&first));
    for (base, records) in [
        (Head::Empty, &mine[..]),
        (at(&first), std::slice::from_ref(&other)),
    ] {
        let reply = store.append(&batch(base, records, None, false)).await;
        assert!(matches!(reply.unwrap(), Reply::Committed));
    }
    let (_, applied) = conflict(&store, &batch(Head::Empty, &mine, None, true)).await;
    assert!(applied);

    let lost = seal(3, 2, &at(&first));
    let lost = [lost.clone(), seal(4, 3, &at(&lost))];
    let lost = batch(at(&first), &lost, Some(first.position()), true);
    let (_, applied) = conflict(&store, &lost).await;
    assert!(!applied, "somebody else's record");
}

/// Catches a store that misses a rollback when the head is higher than what
/// was seen, or raises a false alarm for what still stands.
async fn what_was_seen_is_looked_up<S: AuditStore>(store: S) {
    let first = seal(1, 1, &Head::Empty);
    let second = seal(2, 2, &at(&first));
    let records = [first.clone(), second.clone()];
    store
        .append(&batch(Head::Empty, &records, None, false))
        .await
        .unwrap();

    let stands = store.tail(Some(first.position())).await.unwrap();
    assert_eq!((stands.head, stands.seen), (at(&second), Seen::Stands));
    let elsewhere = seal(9, 9, &Head::Empty).position();
    let gone = store.tail(Some(elsewhere)).await.unwrap();
    let found = Some(first.position().event_hash);
    assert_eq!(gone.seen, Seen::Gone { found });
    let beyond = seal(9, 9, &at(&second)).position();
    let gone = store.tail(Some(beyond)).await.unwrap();
    assert_eq!(gone.seen, Seen::Gone { found: None });
}

/// Catches pages that skip, repeat or invent elements.
async fn ranges_are_read_as_asked<S: AuditStore>(store: S) {
    let mut head = Head::Empty;
    let mut records = Vec::new();
    for number in 0..40 {
        records.push(seal(1, number, &head));
        head = at(&records[number]);
    }
    store
        .append(&batch(Head::Empty, &records, None, false))
        .await
        .unwrap();
    let texts = |from: usize, to: usize| -> Vec<Vec<u8>> {
        let texts = records[from..to].iter().map(Record::text);
        texts.map(|text| text.as_bytes().to_vec()).collect()
    };
    assert_eq!(store.read(0, 40).await.unwrap(), texts(0, 40));
    assert_eq!(store.read(17, 33).await.unwrap(), texts(17, 33));
    assert_eq!(store.read(39, 1000).await.unwrap(), texts(39, 40));
    assert_eq!(store.read(40, 41).await.unwrap(), texts(0, 0));
    assert_eq!(store.read(5, 5).await.unwrap(), texts(0, 0));
}

/// Would catch a page of Redis that exceeds its 1 MiB by one more record.
#[tokio::test]
async fn a_page_ends_before_it_is_too_large() {
    let store = Builder::new().audit_store(InMemory::new());
    let large = format!(r#"{{"id":"{}"}}"#, "x".repeat(600_000));
    let large = Event::from_json(&large).unwrap();
    let first = large.seal(None, &Head::Empty).unwrap();
    let second = large.seal(None, &at(&first)).unwrap();
    let records = [first, second];
    store
        .append(&batch(Head::Empty, &records, None, false))
        .await
        .unwrap();
    for start in 0..2 {
        let page = store.read(start, 2).await.unwrap();
        assert_eq!(page, [records[start as usize].text().as_bytes()]);
    }
}

/// Catches a sink that loses, repeats or reorders what its callers record.
async fn concurrent_callers_each_get_their_place<S: AuditStore>(open: impl Fn() -> S) {
    let sink = Builder::new().audit_sink(open());
    let calls: Vec<_> = (0..500)
        .map(|number| tokio::spawn(sink.record(event(number))))
        .collect();
    let mut places = Vec::new();
    for call in calls {
        places.push(call.await.unwrap().unwrap().position.sequence.get());
    }
    // Recorded in order by one caller, so they stand in order.
    assert_eq!(places, (1..=500).collect::<Vec<u64>>());
    assert!(sink.stats().batches < 500, "calls share batches");
    assert_eq!(verified(&open()).await.len(), 500);
    sink.close(Duration::from_secs(1)).await;
    let refused = sink.record(event(0)).await;
    assert!(matches!(
        refused,
        Err(AppendError::NotApplied(NotApplied::Closed))
    ));
}

/// Catches a sink that forks or loses records when others append to the same
/// chain, byte-identical events among them.
async fn racing_sinks_share_one_chain<S: AuditStore>(open: impl Fn() -> S) {
    let mut config = AuditConfig::default();
    config.batch_records = 4;
    let sinks = [(); 3].map(|()| {
        let builder = Builder::new().audit_config(config.clone());
        builder.audit_sink(open())
    });
    let calls: Vec<_> = (0..300)
        .map(|number| tokio::spawn(sinks[number % 3].record(event(number / 3))))
        .collect();
    let mut places = Vec::new();
    for call in calls {
        places.push(call.await.unwrap().unwrap().position);
    }
    places.sort_by_key(|place| place.sequence);
    let chain = verified(&open()).await;
    assert_eq!(chain.len(), 300);
    let stored: Vec<_> = chain.iter().map(|record| record.position).collect();
    assert_eq!(places, stored);
}

contract!(
    MemoryChain,
    audit_store,
    [
        a_batch_lands_whole_or_not_at_all,
        a_batch_sent_again_learns_its_fate,
        what_was_seen_is_looked_up,
        ranges_are_read_as_asked
    ],
    [
        concurrent_callers_each_get_their_place,
        racing_sinks_share_one_chain
    ]
);
