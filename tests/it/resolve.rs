//! What became of appends, found out by a process that did not make them.

use std::time::Duration;

use haechi_store_redis::{
    AppendError, Builder, Handle,
    audit::{
        Appended, AuditSink, IfOpen, Resolution, ResolveError, resolve,
        store::{AuditStore, Reply},
    },
    chain::{AppendId, Head, Position},
    clock::{Clock, SystemClock},
    entropy::SystemEntropy,
    redis::RedisAuditStore,
    test_util::{AutoClock, Fault, Faults, Hooked, MemoryChain},
};
use redis_sim::server_process::RedisServer;

use crate::support::{ask, client, event, raw, run, server, verified};

/// Finds out, over a connection of its own.
async fn ask_for(
    server: &RedisServer,
    handle: &Handle,
    if_open: IfOpen,
) -> Result<Resolution<Position>, ResolveError> {
    let handle: Handle = handle.to_string().parse().unwrap();
    Builder::new()
        .resolve_append(client(server), &handle, if_open)
        .await
}

/// As [`ask_for`], without writing.
async fn look(server: &RedisServer, handle: &Handle) -> Resolution<Position> {
    ask_for(server, handle, IfOpen::Leave).await.unwrap()
}

/// As [`ask_for`], for good.
async fn settle(server: &RedisServer, handle: &Handle) -> Resolution<Position> {
    ask_for(server, handle, IfOpen::Settle).await.unwrap()
}

fn chain(server: &RedisServer) -> RedisAuditStore {
    Builder::new().audit_store(client(server))
}

/// A process that appends `events` as one batch, with these faults, and ends
/// with its outcome unknown.
async fn lost_batch(server: &RedisServer, faults: &Faults, events: &[&str]) -> Vec<Handle> {
    let store = Hooked::new(chain(server), faults.clone());
    let sink: AuditSink = Builder::new().audit_sink(store);
    let calls = events.iter().map(|id| sink.record(event(id))).collect();
    lost(&sink, calls).await
}

/// Ends the process once a reply was lost; the handles of the calls under way.
async fn lost(
    sink: &AuditSink,
    calls: Vec<impl Future<Output = Result<Appended, AppendError>>>,
) -> Vec<Handle> {
    while sink.stats().lost_replies == 0 {
        SystemClock::new().sleep(Duration::from_millis(1)).await;
    }
    sink.close(Duration::ZERO).await;
    let mut handles = Vec::new();
    for call in calls {
        match call.await {
            Err(AppendError::Unknown { handle, .. }) => handles.push(*handle),
            other => panic!("unknown was expected: {other:?}"),
        }
    }
    handles
}

/// Appends by another process.
async fn others_append(server: &RedisServer, count: usize) {
    let sink: AuditSink = Builder::new().audit_sink(chain(server));
    for number in 0..count {
        sink.record(event(&format!("other {number}")))
            .await
            .unwrap();
    }
    sink.close(Duration::from_secs(5)).await;
}

/// Would catch a record in the middle of a batch that is looked for where it would be if it
/// had been sent alone, on an empty chain and on one with records, and an answer that changes
/// once the chain has grown.
#[tokio::test]
async fn what_was_applied_is_found_where_it_stands() {
    for before in [0, 3] {
        let server = server();
        others_append(&server, before).await;
        let faults = Faults::new([Fault::ReplyLost], Fault::RequestLost);
        let handles = lost_batch(&server, &faults, &["a", "b", "c"]).await;
        for grown in [0, 600] {
            others_append(&server, grown).await;
            let records = verified(&chain(&server)).await;
            for (handle, record) in handles.iter().zip(&records[before..]) {
                let applied = Resolution::Applied(record.position);
                assert_eq!(look(&server, handle).await, applied);
                assert_eq!(settle(&server, handle).await, applied);
                assert_eq!(record.append_id, Some(handle.append_id));
            }
            assert_eq!(records.len(), before + 3 + grown, "nothing was written");
        }
    }
}

/// Would catch a record of its own that a resolution writes to a Redis which evicts it: "not
/// applied" would rest on what is gone tomorrow. To look is allowed.
#[tokio::test]
async fn an_evicting_redis_settles_nothing() {
    let server = server();
    others_append(&server, 2).await;
    let faults = Faults::new([Fault::RequestLost], Fault::RequestLost);
    let handles = lost_batch(&server, &faults, &["a"]).await;
    let mut commands = raw(&server).await;
    run(&mut commands, "CONFIG SET maxmemory-policy allkeys-lru").await;
    assert_eq!(look(&server, &handles[0]).await, Resolution::Open);
    match ask_for(&server, &handles[0], IfOpen::Settle).await {
        Err(ResolveError::Unavailable(cause)) => {
            assert!(cause.to_string().contains("allkeys-lru"), "{cause}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(verified(&chain(&server)).await.len(), 2);
    run(&mut commands, "CONFIG SET maxmemory-policy noeviction").await;
    assert_eq!(settle(&server, &handles[0]).await, Resolution::NotApplied);
}

/// Would catch "not applied" said of a batch that is still under way, and one
/// that is said to be open although it can no longer arrive.
#[tokio::test]
async fn a_batch_is_open_until_the_head_has_moved() {
    for arrives in [true, false] {
        let server = server();
        others_append(&server, 2).await;
        let faults = Faults::new([Fault::Late], Fault::RequestLost);
        let handles = lost_batch(&server, &faults, &["a", "b"]).await;
        for handle in &handles {
            assert_eq!(look(&server, handle).await, Resolution::Open);
        }
        assert_eq!(verified(&chain(&server)).await.len(), 2);
        if !arrives {
            others_append(&server, 1).await;
        }
        let reply = faults.deliver_batch(&chain(&server)).await.unwrap();
        assert_eq!(matches!(reply, Ok(Reply::Committed)), arrives, "{reply:?}");
        for handle in &handles {
            let position = handle.position.unwrap();
            let expected = match arrives {
                true => Resolution::Applied(position),
                false => Resolution::NotApplied,
            };
            assert_eq!(look(&server, handle).await, expected);
        }
    }
}

/// Would catch a settled append of which a late copy is applied after all, also to an
/// empty chain; and a second record for a second question.
#[tokio::test]
async fn what_is_settled_as_not_applied_stays_so() {
    for before in [0, 2] {
        let server = server();
        others_append(&server, before).await;
        let faults = Faults::new([Fault::Late], Fault::RequestLost);
        let handles = lost_batch(&server, &faults, &["a", "b"]).await;
        for handle in &handles {
            assert_eq!(settle(&server, handle).await, Resolution::NotApplied);
        }
        let late = faults.deliver_batch(&chain(&server)).await.unwrap();
        assert!(matches!(late, Ok(Reply::Conflict { .. })), "{late:?}");
        assert_eq!(look(&server, &handles[0]).await, Resolution::NotApplied);
        let records = verified(&chain(&server)).await;
        assert_eq!(records.len(), before + 1, "one record moved the head");
        let mut redis = raw(&server).await;
        let last: String = ask(&mut redis, "LINDEX haechi:audit:chain -1").await;
        assert!(last.contains(r#""operation":"audit:fence""#), "{last}");
        let resolved = format!(r#""resolves":"{}""#, handles[0].append_id);
        assert!(last.contains(&resolved), "{last}");
    }
}

/// Would catch a ticket that is said to be not applied while its event may
/// still be sent, or that is looked for in one batch only.
#[tokio::test]
async fn a_ticket_is_open_until_it_is_settled() {
    let server = server();
    others_append(&server, 1).await;
    let sink: AuditSink = Builder::new().audit_sink(chain(&server));
    let first = sink.ticket().unwrap();
    assert_eq!(first.base, Head::Empty, "nothing is known yet");
    sink.record(event("own")).await.unwrap();
    let ticket = sink.ticket().unwrap();
    assert_eq!(ticket.base.len(), 1, "the head before the last append");
    others_append(&server, 600).await;
    for open in [&first, &ticket] {
        assert_eq!(look(&server, open).await, Resolution::Open);
    }
    let late = sink
        .record_as(ticket.append_id, event("late"))
        .await
        .unwrap();
    let applied = Resolution::Applied(late.position);
    assert_eq!(look(&server, &ticket).await, applied);
    assert_eq!(settle(&server, &ticket).await, applied);
    assert_eq!(settle(&server, &first).await, Resolution::NotApplied);
    let records = verified(&chain(&server)).await;
    assert_eq!(records.len(), 604, "one fence");
}

/// Would catch a ticket settled as not applied by a fence that a copy can still pass: the one
/// that was sealed onto the head that the process knew last.
#[tokio::test]
async fn a_settled_ticket_stops_the_copies_that_were_sent() {
    let server = server();
    others_append(&server, 1).await;
    let faults = Faults::new([Fault::None, Fault::Late], Fault::RequestLost);
    let store = Hooked::new(chain(&server), faults.clone());
    let sink: AuditSink = Builder::new().audit_sink(store);
    let ticket = sink.ticket().unwrap();
    sink.record(event("first")).await.unwrap();
    let second = sink.record_as(ticket.append_id, event("second"));
    lost(&sink, vec![second]).await;
    assert_eq!(look(&server, &ticket).await, Resolution::Open);
    assert_eq!(settle(&server, &ticket).await, Resolution::NotApplied);
    let late = faults.deliver_batch(&chain(&server)).await.unwrap();
    assert!(matches!(late, Ok(Reply::Conflict { .. })), "{late:?}");
    assert_eq!(verified(&chain(&server)).await.len(), 3);
}

/// Would catch an answer from a chain that has lost the base, has regrown without it, or no
/// longer has the records that would tell.
#[tokio::test]
async fn a_chain_without_the_base_answers_nothing() {
    let server = server();
    others_append(&server, 4).await;
    let faults = Faults::new([Fault::ReplyLost], Fault::RequestLost);
    let handle = lost_batch(&server, &faults, &["a"]).await[0];
    let mut redis = raw(&server).await;
    run(&mut redis, "LTRIM haechi:audit:chain 4 -1").await;
    let trimmed = ask_for(&server, &handle, IfOpen::Settle).await;
    assert!(
        matches!(trimmed, Err(ResolveError::Trimmed { first: 5, .. })),
        "{trimmed:?}"
    );
    run(&mut redis, "FLUSHALL").await;
    for regrown in [0, 7] {
        others_append(&server, regrown).await;
        for if_open in [IfOpen::Leave, IfOpen::Settle] {
            let resolved = ask_for(&server, &handle, if_open).await;
            assert!(
                matches!(resolved, Err(ResolveError::RolledBack { base, .. })
                    if Some(base) == handle.base.position()),
                "{resolved:?}"
            );
        }
    }
    assert_eq!(verified(&chain(&server)).await.len(), 7, "no fence");
}

/// Would catch a record behind one that does not link to the base taken for the append, and a
/// scan that never ends.
#[tokio::test]
async fn records_that_do_not_link_answer_nothing() {
    let server = server();
    others_append(&server, 3).await;
    let base = Head::Empty;
    let append_id = AppendId::from_bytes([7; 16]);
    let mut redis = raw(&server).await;
    run(&mut redis, "LSET haechi:audit:chain 1 {}").await;
    let position = None;
    let handle = Handle {
        append_id,
        base,
        position,
    };
    let resolved = ask_for(&server, &handle, IfOpen::Leave).await;
    assert!(
        matches!(resolved, Err(ResolveError::NotLinked { after: 1 })),
        "{resolved:?}"
    );
}

/// Would catch a deadline that is not kept, and a fence that is not repeated
/// after its reply was lost, or stands twice.
#[test]
fn a_lost_reply_to_the_fence_changes_nothing() {
    let clock = AutoClock::default();
    let handle = Handle {
        append_id: AppendId::from_bytes([7; 16]),
        base: Head::Empty,
        position: None,
    };
    for (fault, then, resolved) in [
        (Fault::ReplyLost, Fault::None, true),
        (Fault::RequestLost, Fault::None, true),
        (Fault::Late, Fault::None, true),
        (Fault::RequestLost, Fault::RequestLost, false),
    ] {
        let memory = MemoryChain::new();
        let faults = Faults::new([fault], then);
        let store = Hooked::new(memory.clone(), faults.clone());
        let deadline = Duration::from_secs(5);
        let asking = resolve(
            &store,
            &clock,
            &SystemEntropy,
            deadline,
            &handle,
            IfOpen::Settle,
        );
        match clock.run(asking).unwrap() {
            Ok(Resolution::NotApplied) => assert!(resolved, "{fault:?}"),
            Err(ResolveError::Unavailable(_)) => assert!(!resolved, "{fault:?}"),
            other => panic!("{fault:?}: {other:?}"),
        }
        let _ = AutoClock::default().run(faults.deliver_batch(&memory));
        let records = memory.with(|chain| chain.records().len());
        assert_eq!(records, usize::from(resolved), "{fault:?}");
    }
}

/// Would catch a replica that is believed.
#[tokio::test]
async fn a_replica_answers_nothing() {
    let (primary, replica) = (server(), server());
    others_append(&primary, 1).await;
    let handle = Builder::new().audit_sink(chain(&primary)).ticket().unwrap();
    let mut redis = raw(&replica).await;
    let command = format!("REPLICAOF 127.0.0.1 {}", primary.port());
    run(&mut redis, &command).await;
    while chain(&replica).read(0, 9).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let resolved = Builder::new()
        .deadline(Duration::from_millis(300))
        .resolve_append(client(&replica), &handle, IfOpen::Leave)
        .await;
    assert!(
        matches!(&resolved, Err(ResolveError::Unavailable(cause))
            if cause.code() == Some("READONLY")),
        "{resolved:?}"
    );
}
