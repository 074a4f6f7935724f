//! Exactly one record per append with lost replies; and a lock that is never
//! released.

use std::{collections::BTreeSet, sync::atomic::Ordering, time::Duration};

use haechi_store_redis::{
    Builder,
    audit::{
        AuditConfig,
        store::{Batch, Reply, Seen},
    },
    chain::{AppendId, Event, Head, Record},
    redis::{
        AuditKeys, AuditPrefix, LockPolicy, LockTimes,
        script::{APPEND, RELEASE, Script, append_call, append_reply},
    },
    test_util::ManualClock,
};

use crate::support::{ask, client, cutting_proxy, event, raw, run, server, store, verified};

/// Would catch a retry that writes a second copy, an append that is reported as
/// failed but is in the chain, and two byte-identical events taken for one.
#[tokio::test]
async fn no_append_is_lost_with_every_third_reply() {
    let server = server();
    let (url, cut) = cutting_proxy(&server, 3).await;
    let sinks: Vec<_> = (0..4)
        .map(|_| {
            let mut config = AuditConfig::default();
            config.batch_records = 4;
            config.deadline = Duration::from_secs(60);
            let builder = Builder::new().audit_config(config);
            let store = builder.audit_store(redis::Client::open(url.as_str()).unwrap());
            builder.audit_sink(store)
        })
        .collect();
    let calls: Vec<_> = (0..320)
        .map(|number| {
            let event = if number % 2 == 0 {
                Event::from_json(r#"{"operation":"heartbeat"}"#).unwrap()
            } else {
                event(&format!("e{number}"))
            };
            tokio::spawn(sinks[number % 4].record(event))
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for call in calls {
        acknowledged.insert(call.await.unwrap().unwrap().position);
    }
    let chain = verified(&store(&server)).await;
    let lost: u64 = sinks.iter().map(|sink| sink.stats().lost_replies).sum();
    let settled: u64 = sinks
        .iter()
        .map(|sink| sink.stats().settled_by_reading)
        .sum();
    println!(
        "acknowledged {}, in the chain {}, replies cut {}, lost replies seen {lost}, outcomes found by reading back {settled}",
        acknowledged.len(),
        chain.len(),
        cut.load(Ordering::Relaxed),
    );
    assert_eq!(acknowledged.len(), 320);
    assert_eq!(chain.len(), 320);
    assert!(
        chain
            .iter()
            .all(|record| acknowledged.contains(&record.position))
    );
    let ids: BTreeSet<_> = chain.iter().filter_map(|record| record.append_id).collect();
    assert_eq!(ids.len(), 320, "each identity is there once");
    assert!(cut.load(Ordering::Relaxed) >= 40, "the proxy did its work");
    assert!(settled > 0, "some outcomes were found by reading back");
}

/// Would catch a release that does not compare: the lock of the next holder, who
/// took it after ours had expired, would be deleted.
#[tokio::test]
async fn a_lock_that_has_another_holder_is_not_released() {
    let server = server();
    let mut commands = raw(&server).await;
    run(&mut commands, "SET lock theirs").await;
    for (token, released) in [("ours", 0), ("theirs", 1)] {
        let mut release = redis::cmd("EVAL");
        release.arg(RELEASE).arg(1).arg("lock").arg(token);
        let count: u64 = release.query_async(&mut commands).await.unwrap();
        assert_eq!(count, released, "{token}");
    }
}

/// Would catch a store that waits for a dead holder at every append: the total
/// sleep is limited to one wait.
#[tokio::test]
async fn a_foreign_lock_is_waited_for_once() {
    let server = server();
    let mut tamper = raw(&server).await;
    run(&mut tamper, "SET haechi:audit:lock somebody-else PX 30000").await;
    let clock = ManualClock::default();
    let times = LockTimes::default();
    let sink = Builder::new()
        .clock(clock.clone())
        .lock(LockPolicy::Always(times))
        .open_audit(client(&server))
        .await
        .unwrap();
    for number in 0..100 {
        sink.record(event(&format!("e{number}"))).await.unwrap();
    }
    println!(
        "100 appends under a foreign lock of 30 s slept {} ms in all",
        clock.slept().as_millis()
    );
    assert_eq!(verified(&store(&server)).await.len(), 100);
    assert!(clock.slept() <= times.wait + times.retry * 2);
    let holder: String = ask(&mut tamper, "GET haechi:audit:lock").await;
    assert_eq!(
        holder, "somebody-else",
        "a lock is only released by its holder"
    );
}

/// Would catch a reply that grows with the records at the batch's positions, or with
/// the one last seen: on a slow link none would arrive in time.
#[tokio::test]
async fn the_reply_to_an_append_has_no_record() {
    let server = server();
    let seal = |id: usize, text: &str, head: &Head| {
        let event = format!(r#"{{"id":"e{id}","operation":"{text}"}}"#);
        let append_id = AppendId::from_bytes([u8::try_from(id).unwrap(); 16]);
        let event = Event::from_json(&event).unwrap();
        event.seal(Some(&append_id), head).unwrap()
    };
    let large = "large ".repeat(10_000);
    let (mut theirs, mut head) = (Vec::new(), Head::Empty);
    for id in 0..8 {
        theirs.push(seal(id, &large, &head));
        head = Head::At(theirs[id].position());
    }
    let script = Script::new(APPEND);
    let keys = AuditKeys::new(AuditPrefix::default());
    let mut connection = raw(&server).await;
    let load = script.load();
    load.query_async::<()>(&mut connection).await.unwrap();
    let mut append = async |records: &[Record], seen: usize, resent| {
        let batch = Batch {
            base: Head::Empty,
            records,
            seen: Some(theirs[seen].position()),
            resent,
        };
        let call = append_call(&script, &keys, &batch).unwrap();
        let reply: redis::Value = call.query_async(&mut connection).await.unwrap();
        let length = format!("{reply:?}").len();
        (append_reply(reply, &keys, batch.seen).unwrap(), length)
    };
    append(&theirs, 0, false).await;
    let mine = [seal(9, "small", &Head::Empty)];
    for (records, applied) in [(&mine[..], false), (&theirs[..], true)] {
        for seen in [0, 7] {
            let (reply, length) = append(records, seen, true).await;
            let Reply::Conflict { tail, applied: is } = reply else {
                panic!("a conflict was expected: {reply:?}");
            };
            assert_eq!((tail.seen, is), (Seen::Stands, applied));
            assert!(length < 2000, "{length}");
        }
    }
}
