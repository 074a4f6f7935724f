//! Repairing a chain whose keys disagree, on redis-server.

use std::time::Duration;

use haechi_store_redis::{
    Builder, Corrupt, NotApplied, ReadError,
    audit::{Evidence, Examination, Repair, RepairError, store::RepairStore},
    chain::{Anchor, EventHash, Loss, LostRange, Position, Sequence},
    clock::SystemClock,
    entropy::SystemEntropy,
    redis::RedisAuditStore,
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;
use serde_json::{Value, json};

use crate::support::{ask, client, cutting_proxy, event, raw, run, server, verified};

fn store(server: &RedisServer) -> RedisAuditStore {
    Builder::new().audit_store(client(server))
}

async fn append(server: &RedisServer, count: usize) -> Vec<Position> {
    let sink = Builder::new().open_audit(client(server)).await.unwrap();
    let mut positions = Vec::new();
    for _ in 0..count {
        positions.push(sink.record(event("e")).await.unwrap().position);
    }
    sink.close(Duration::from_secs(60)).await;
    positions
}

/// A server with a chain of five records.
async fn with_chain() -> (RedisServer, MultiplexedConnection, Vec<Position>) {
    let server = server();
    let positions = append(&server, 5).await;
    let commands = raw(&server).await;
    (server, commands, positions)
}

async fn examine(server: &RedisServer, evidence: &Evidence) -> Result<Examination, RepairError> {
    Repair::examine(&store(server), evidence).await
}

async fn diverged(server: &RedisServer, evidence: &Evidence) -> Repair {
    match examine(server, evidence).await {
        Ok(Examination::Diverged(repair)) => repair,
        other => panic!("expected a repair: {other:?}"),
    }
}

async fn carry_out(repair: &Repair, store: &impl RepairStore) -> Result<Position, RepairError> {
    let (clock, deadline) = (SystemClock::new(), Duration::from_secs(60));
    let repaired = repair
        .carry_out(store, &clock, &SystemEntropy, deadline)
        .await;
    repaired.map(|repaired| repaired.position)
}

/// The text of the three keys.
async fn keys(commands: &mut MultiplexedConnection) -> (Vec<String>, Two) {
    (
        ask(commands, "LRANGE haechi:audit:chain 0 -1").await,
        [
            ask(commands, "GET haechi:audit:head").await,
            ask(commands, "GET haechi:audit:head:hash").await,
        ],
    )
}

async fn set(commands: &mut MultiplexedConnection, key: &str, text: Option<&str>) {
    let key = format!("haechi:audit:{key}");
    match text {
        Some(text) => run(commands, &format!("SET {key} {text}")).await,
        None => run(commands, &format!("DEL {key}")).await,
    }
}

/// The last record, which must be that of a repair.
async fn last_record(commands: &mut MultiplexedConnection) -> Value {
    let text: String = ask(commands, "LINDEX haechi:audit:chain -1").await;
    let record: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(record["operation"], "audit:repaired");
    record
}

fn sequence(value: u64) -> Sequence {
    Sequence::new(value).unwrap()
}

fn range(from: u64, to: u64) -> LostRange {
    LostRange::new(sequence(from), sequence(to)).unwrap()
}

fn accepting(from: u64, to: u64) -> Evidence {
    Evidence {
        accepted_loss: Some(range(from, to)),
        ..Evidence::default()
    }
}

/// The texts of head and head:hash.
type Two = [Option<String>; 2];

/// From their earlier and present texts to the damaged ones.
type Damage = fn(&Two, &Two) -> Two;

/// Would catch a repair that drops or rewrites a record, that leaves keys which
/// disagree, or that says nothing in the chain: each way in which the keys can
/// disagree while the list holds everything.
#[tokio::test]
async fn head_and_hash_are_rebuilt_from_the_list() {
    let damages: [(&str, Damage); 8] = [
        ("head deleted", |_, now| [None, now[1].clone()]),
        ("head:hash deleted, as version 0.1.1 leaves it", |_, now| {
            [now[0].clone(), None]
        }),
        ("both deleted", |_, _| [None, None]),
        ("head restored alone", |before, now| {
            [before[0].clone(), now[1].clone()]
        }),
        ("head:hash restored alone", |before, now| {
            [now[0].clone(), before[1].clone()]
        }),
        (
            "a write cut in the middle: RPUSH without SET",
            |before, _| before.clone(),
        ),
        ("head unreadable", |_, now| {
            [Some("nothing".to_owned()), now[1].clone()]
        }),
        ("head:hash unreadable", |_, now| {
            [now[0].clone(), Some("nothing".to_owned())]
        }),
    ];
    for (damage, damaged) in damages {
        let (server, mut commands, _) = with_chain().await;
        let (_, before) = keys(&mut commands).await;
        append(&server, 2).await;
        let (list, now) = keys(&mut commands).await;
        let [head, hash] = damaged(&before, &now);
        set(&mut commands, "head", head.as_deref()).await;
        set(&mut commands, "head:hash", hash.as_deref()).await;

        let repair = diverged(&server, &Evidence::default()).await;
        assert_eq!(repair.lost(), None, "{damage}");
        let position = carry_out(&repair, &store(&server)).await.unwrap();
        assert_eq!(position.sequence, sequence(8), "{damage}");
        let record = last_record(&mut commands).await;
        assert_eq!(record["disagreement"], repair.disagreement(), "{damage}");
        assert_eq!(record["records"], 7, "{damage}");
        assert_eq!(record.get("lost"), None, "{damage}");
        assert_eq!(keys(&mut commands).await.0[..7], list[..], "{damage}");

        let next = append(&server, 1).await;
        assert_eq!(next[0].sequence, sequence(9), "{damage}");
        assert_eq!(verified(&store(&server)).await.len(), 9, "{damage}");
        let again = examine(&server, &Evidence::default()).await.unwrap();
        assert!(
            matches!(again, Examination::Whole(_)),
            "{damage}: {again:?}"
        );
    }
}

/// Would catch a repair that gives up acknowledged records without a word, or
/// for the wrong name.
#[tokio::test]
async fn what_the_head_attests_is_lost_only_by_name() {
    let whole_list_lost = ["DEL haechi:audit:chain"];
    let two_lost = ["RPOP haechi:audit:chain 2"];
    let hash_only = ["RPOP haechi:audit:chain 2", "DEL haechi:audit:head"];
    // With head:hash alone nothing tells how many.
    for (damage, from, to) in [
        (&whole_list_lost[..], 1, 5),
        (&two_lost, 4, 5),
        (&hash_only, 4, 4),
    ] {
        let (server, mut commands, positions) = with_chain().await;
        for command in damage {
            run(&mut commands, command).await;
        }
        let before = keys(&mut commands).await;
        let lost = Loss {
            range: range(from, to),
            head_hash: positions[4].event_hash,
        };
        let refused = examine(&server, &Evidence::default()).await.unwrap_err();
        assert!(
            matches!(refused, RepairError::Loss { lost: found, .. } if found == lost),
            "{refused:?}"
        );
        let advice = format!("--accept-loss {from}..{to}");
        assert!(refused.to_string().contains(&advice), "{refused}");
        for (other_from, other_to) in [(from, to + 1), (from + 1, to + 1)] {
            let other = accepting(other_from, other_to);
            let refused = examine(&server, &other).await.unwrap_err();
            assert!(
                matches!(refused, RepairError::OtherLoss { found: Some(found), .. } if found == lost),
                "{refused:?}"
            );
        }
        assert_eq!(keys(&mut commands).await, before);

        let repair = diverged(&server, &accepting(from, to)).await;
        carry_out(&repair, &store(&server)).await.unwrap();
        let said = json!({"from": from, "to": to, "headHash": positions[4].event_hash.to_text()});
        assert_eq!(last_record(&mut commands).await["lost"], said);
        append(&server, 1).await;
        assert_eq!(verified(&store(&server)).await.len() as u64, from + 1);
    }
}

/// Would catch a repair that believes a list although an anchor, or a position
/// that a process has seen, attests more, or another record.
#[tokio::test]
async fn what_is_attested_elsewhere_is_lost_only_by_name() {
    let (server, mut commands, positions) = with_chain().await;
    run(&mut commands, "RPOP haechi:audit:chain 2").await;
    run(
        &mut commands,
        "DEL haechi:audit:head haechi:audit:head:hash",
    )
    .await;
    diverged(&server, &Evidence::default()).await;
    let anchored = |position: Position| {
        let mut evidence = Evidence::default();
        evidence.anchors.insert(&Anchor {
            sequence: position.sequence,
            event_hash: position.event_hash,
            timestamp: String::new(),
        });
        evidence
    };
    let seen = |position: Position| Evidence {
        seen: vec![position],
        ..Evidence::default()
    };
    let another = Position {
        sequence: sequence(2),
        event_hash: EventHash::from_bytes([7; 32]),
    };
    for (position, from) in [(positions[4], 4), (positions[3], 4), (another, 2)] {
        for mut evidence in [anchored(position), seen(position)] {
            let to = position.sequence.get();
            let refused = examine(&server, &evidence).await.unwrap_err();
            assert!(
                matches!(refused, RepairError::Loss { lost, .. }
                    if lost.range == range(from, to)
                        && lost.head_hash == position.event_hash),
                "{refused:?}"
            );
            evidence.accepted_loss = Some(range(from, to));
            diverged(&server, &evidence).await;
        }
    }
    for held in [anchored(positions[2]), seen(positions[2])] {
        diverged(&server, &held).await;
    }
    // Two files, or a file and a seen position, of different chains.
    let mut conflict = anchored(positions[1]);
    conflict.seen.push(another);
    let refused = examine(&server, &conflict).await.unwrap_err();
    assert!(
        matches!(refused, RepairError::AnchorConflict(at) if at == sequence(2)),
        "{refused:?}"
    );
}

/// Would catch a chain that agrees with itself and is called whole although
/// what it lacks is attested; and a loss that is accepted where nothing is lost.
#[tokio::test]
async fn keys_that_agree_are_left_alone() {
    let (server, mut commands, positions) = with_chain().await;
    let before = keys(&mut commands).await;
    let beyond = Position {
        sequence: sequence(6),
        event_hash: EventHash::from_bytes([7; 32]),
    };
    let mut evidence = Evidence {
        seen: vec![positions[4]],
        ..Evidence::default()
    };
    let whole = examine(&server, &evidence).await.unwrap();
    assert!(matches!(whole, Examination::Whole(head) if head.position() == Some(positions[4])));
    evidence.accepted_loss = Some(range(5, 5));
    let refused = examine(&server, &evidence).await.unwrap_err();
    assert!(matches!(
        refused,
        RepairError::OtherLoss { found: None, .. }
    ));
    evidence.seen = vec![beyond];
    let refused = examine(&server, &evidence).await.unwrap_err();
    assert!(matches!(refused, RepairError::RolledBack(lost) if lost.range.last() == sequence(6)));
    assert_eq!(keys(&mut commands).await, before);
    run(&mut commands, "FLUSHALL").await;
    let empty = examine(&server, &Evidence::default()).await.unwrap();
    assert!(matches!(empty, Examination::Whole(head) if head.is_empty()));
}

/// Would catch a head that is rebuilt onto a list which does not verify.
#[tokio::test]
async fn a_list_that_does_not_verify_is_refused_with_its_element() {
    for (damage, element, reason) in [
        ("LSET haechi:audit:chain 2 {}", 3, "missing auditIntegrity"),
        ("LSET haechi:audit:chain -1 x", 5, "not JSON"),
        ("LPOP haechi:audit:chain", 1, "sequence mismatch"),
        // A verification of a file skips it.
        ("RPUSH haechi:audit:chain \t", 6, "missing auditIntegrity"),
    ] {
        let (server, mut commands, _) = with_chain().await;
        run(&mut commands, damage).await;
        run(&mut commands, "DEL haechi:audit:head").await;
        let before = keys(&mut commands).await;
        let refused = examine(&server, &Evidence::default()).await.unwrap_err();
        assert!(
            matches!(refused, RepairError::Invalid { fault, good }
                if fault.line == Some(element) && good == element - 1),
            "{damage}: {refused:?}"
        );
        let message = refused.to_string();
        assert!(message.contains(reason), "{damage}: {message}");
        assert_eq!(keys(&mut commands).await, before, "{damage}");
    }
}

/// Would catch a key of another type that is overwritten, or not named.
#[tokio::test]
async fn a_key_of_another_type_is_refused_by_name() {
    for key in ["chain", "head", "head:hash"] {
        let (server, mut commands, _) = with_chain().await;
        let key = format!("haechi:audit:{key}");
        run(&mut commands, &format!("DEL {key}")).await;
        run(&mut commands, &format!("SADD {key} x")).await;
        let refused = examine(&server, &Evidence::default()).await.unwrap_err();
        assert!(
            matches!(&refused, RepairError::Read(ReadError::Corrupt(Corrupt::WrongType { key: named, .. }))
                if *named == key),
            "{refused:?}"
        );
    }
}

/// Would catch a fork, or a write over what somebody restored: whatever changes
/// after the list was verified makes the repair change nothing.
#[tokio::test]
async fn what_changes_meanwhile_makes_the_repair_refuse() {
    for meanwhile in [
        "RPUSH haechi:audit:chain {}",
        "RPOP haechi:audit:chain",
        "LSET haechi:audit:chain -1 {}",
        "DEL haechi:audit:chain",
        "SET haechi:audit:head {}",
        "SET haechi:audit:head:hash x",
        "DEL haechi:audit:head:hash",
        "FLUSHALL",
    ] {
        let (server, mut commands, _) = with_chain().await;
        run(&mut commands, "DEL haechi:audit:head").await;
        let repair = diverged(&server, &Evidence::default()).await;
        run(&mut commands, meanwhile).await;
        let before = keys(&mut commands).await;
        let refused = carry_out(&repair, &store(&server)).await;
        assert!(
            matches!(refused, Err(RepairError::Changed)),
            "{meanwhile}: {refused:?}"
        );
        assert_eq!(keys(&mut commands).await, before, "{meanwhile}");
    }
    // Two operators at once.
    let (server, mut commands, _) = with_chain().await;
    run(&mut commands, "DEL haechi:audit:head").await;
    let (one, two) = (
        diverged(&server, &Evidence::default()).await,
        diverged(&server, &Evidence::default()).await,
    );
    carry_out(&one, &store(&server)).await.unwrap();
    let refused = carry_out(&two, &store(&server)).await;
    assert!(matches!(refused, Err(RepairError::Changed)), "{refused:?}");
    assert_eq!(verified(&store(&server)).await.len(), 6);
}

/// Would catch a repair whose reply is lost and that is recorded twice, or
/// reported as a change by somebody else.
#[tokio::test]
async fn a_lost_reply_repairs_once() {
    let (server, mut commands, _) = with_chain().await;
    run(&mut commands, "DEL haechi:audit:head").await;
    let repair = diverged(&server, &Evidence::default()).await;
    run(&mut commands, "SCRIPT FLUSH").await;
    // NOSCRIPT, the loaded script, and the reply that is cut.
    let (url, cut) = cutting_proxy(&server, 3).await;
    let behind = Builder::new().audit_store(redis::Client::open(url).unwrap());
    let position = carry_out(&repair, &behind).await.unwrap();
    assert_eq!(cut.load(std::sync::atomic::Ordering::Relaxed), 1);
    assert_eq!(position.sequence, sequence(6));
    assert_eq!(verified(&store(&server)).await.len(), 6);
}

/// Would catch a repair that fails in the middle: RPUSH done, SET denied.
#[tokio::test]
async fn a_missing_permission_is_found_before_the_first_write() {
    for denied in ["rpush", "set"] {
        let (server, mut commands, _) = with_chain().await;
        run(&mut commands, "DEL haechi:audit:head").await;
        let rules = "~haechi:audit:* +@all";
        let user = format!("ACL SETUSER app on >pass {rules} -{denied}");
        run(&mut commands, &user).await;
        let url = format!("redis://app:pass@127.0.0.1:{}", server.port());
        let limited = Builder::new().audit_store(redis::Client::open(url).unwrap());
        let before = keys(&mut commands).await;
        let repair = diverged(&server, &Evidence::default()).await;
        let refused = carry_out(&repair, &limited).await;
        let Err(RepairError::NotApplied(NotApplied::Refused(cause))) = refused else {
            panic!("{denied}: {refused:?}");
        };
        assert!(
            cause.to_string().contains(&denied.to_uppercase()),
            "{cause}"
        );
        assert_eq!(keys(&mut commands).await, before);
    }
}
