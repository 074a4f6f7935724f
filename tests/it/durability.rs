//! Durability beyond the primary's memory, on real servers: what is acknowledged as
//! durable survives the end of the primary, and what is not says so.

use std::{num::NonZeroU32, sync::Arc, time::Duration};

use futures_util::future::{join_all, poll_immediate};
use haechi_store_redis::{
    AppendError, Builder, Durability, DurabilityStatus, Handle, NotApplied,
    audit::{
        AnchorStatus, AuditSink, Evidence, Examination, FileAnchors, IfOpen, Repair, Resolution,
        ResolveError, store::AuditStore,
    },
    chain::{AppendId, Head},
    clock::SystemClock,
    entropy::SystemEntropy,
    redis::{NotReady, Timeouts},
    vault::{ReceiptHandle, Stored, TokenId, TokenStore, Version, View, store::VaultStore},
};
use redis_sim::server_process::{NO_VALKEY, RedisServer, skip};
use tokio::task::JoinSet;

use crate::{
    replica::{Forwarder, replica_of},
    support::{client, event, raw, run, server, store, verified},
};

const REPLICAS_1: Durability = Durability::Replicas(NonZeroU32::MIN);

fn timeouts(durability: Duration) -> Timeouts {
    let mut timeouts = Timeouts::default();
    timeouts.durability = durability;
    timeouts
}

const SHORT: Duration = Duration::from_millis(300);
/// Longer than a test takes.
const LONG: Duration = Duration::from_secs(600);

fn replicas_1(wait: Duration) -> Builder {
    Builder::new()
        .durability(REPLICAS_1)
        .timeouts(timeouts(wait))
}

/// redis-server, and valkey-server if there is one: they disagree on which earlier
/// commands of a connection a WAIT covers.
fn primaries() -> Vec<RedisServer> {
    let valkey = RedisServer::start_valkey(&[]).unwrap();
    if valkey.is_none() {
        skip(NO_VALKEY);
    }
    [server()].into_iter().chain(valkey).collect()
}

/// A replica of `primary`: one of the same program.
async fn replica(primary: &RedisServer) -> RedisServer {
    replica_of(primary).await.0
}

fn token(number: u32) -> TokenId {
    TokenId::new(&format!("tok_email_{number:032x}")).unwrap()
}

/// Writes one token.
async fn set<S: VaultStore>(tokens: &TokenStore<S>, number: u32) -> DurabilityStatus {
    let token = token(number);
    let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
    let done = tokens.transaction([token.clone()], write).await;
    done.unwrap().durability
}

/// Would catch a count that is not checked: a replica that is stopped acknowledges
/// nothing. And a shortfall that is told as a failure.
#[tokio::test]
async fn a_write_that_no_replica_has_is_applied_and_says_so() {
    let primary = server();
    let replica = replica(&primary).await;
    let builder = replicas_1(SHORT);
    let tokens = builder.token_store(builder.vault_store(client(&primary)));
    let sink = builder.open_audit(client(&primary)).await.unwrap();
    let appended = sink.record(event("replicated")).await.unwrap();
    assert_eq!(appended.durability, DurabilityStatus::AsAsked);
    assert_eq!(set(&tokens, 1).await, DurabilityStatus::AsAsked);

    replica.stop().unwrap();
    let appended = sink.record(event("not replicated")).await.unwrap();
    let DurabilityStatus::NotYet(why) = appended.durability else {
        panic!("no replica has it");
    };
    assert!(why.starts_with("0 of 1 replicas had it"), "{why}");
    assert!(matches!(set(&tokens, 2).await, DurabilityStatus::NotYet(_)));
    assert_eq!(sink.stats().not_yet_durable, 1);
    assert_eq!(tokens.stats().not_yet_durable, 1);
    assert_eq!(verified(&store(&primary)).await.len(), 2);

    replica.resume().unwrap();
    let appended = sink.record(event("replicated again")).await.unwrap();
    assert_eq!(appended.durability, DurabilityStatus::AsAsked);
    assert_eq!(set(&tokens, 3).await, DurabilityStatus::AsAsked);
}

/// Would catch an answer that rests on a write which a failover loses, one that does not say
/// what was found out, and a repair that does not say that it could be lost.
#[tokio::test]
async fn settling_and_repairing_wait_for_the_replica_too() {
    let primary = server();
    let replica = replica(&primary).await;
    let builder = || replicas_1(SHORT).deadline(4 * SHORT);
    replica.stop().unwrap();
    let lost = Handle {
        append_id: AppendId::from_bytes([7; 16]),
        base: Head::Empty,
        position: None,
    };
    let settle = async |ticket: &Handle| {
        let (builder, redis) = (builder(), client(&primary));
        builder.resolve_append(redis, ticket, IfOpen::Settle).await
    };
    let not_durable = |ended, found| match ended {
        Err(ResolveError::NotDurable { resolution, why }) if resolution == found => {
            assert!(why.starts_with("0 of 1 replicas had it"), "{why}");
        }
        other => panic!("{other:?}"),
    };
    not_durable(settle(&lost).await, Resolution::NotApplied);
    let sink = builder().audit_sink(builder().audit_store(client(&primary)));
    let ticket = sink.ticket().unwrap();
    let applied = sink.record_as(ticket.append_id, event("applied")).await;
    let position = applied.unwrap().position;
    not_durable(settle(&ticket).await, Resolution::Applied(2));
    let mut commands = raw(&primary).await;
    run(&mut commands, "DEL haechi:audit:head").await;
    let chain = builder().audit_store(client(&primary));
    let examined = Repair::examine(&chain, &Evidence::default()).await;
    let Ok(Examination::Diverged(repair)) = examined else {
        panic!("{examined:?}");
    };
    let clock = SystemClock::new();
    let repaired = repair.carry_out(&chain, &clock, &SystemEntropy, SHORT);
    let repaired = repaired.await.unwrap();
    assert!(!repaired.durability.is_as_asked(), "{repaired:?}");
    assert_eq!(repaired.position.sequence.get(), 3);

    replica.resume().unwrap();
    assert_eq!(settle(&lost).await.unwrap(), Resolution::NotApplied);
    let applied = Resolution::Applied(position);
    assert_eq!(settle(&ticket).await.unwrap(), applied);
}

/// Would catch the same of a mutation: the receipt that stops it, or says that it was applied,
/// can be lost with the primary.
#[tokio::test]
async fn settling_a_mutation_waits_for_the_replica_too() {
    let primary = server();
    let replica = replica(&primary).await;
    let builder = || replicas_1(SHORT).deadline(4 * SHORT);
    let tokens = builder().token_store(builder().vault_store(client(&primary)));
    let [lost, kept] = [
        tokens.ticket().await.unwrap(),
        tokens.ticket().await.unwrap(),
    ];
    replica.stop().unwrap();
    let write = |view: &mut View| view.set(&token(1), Stored::from(b"{}".to_vec()));
    let done = tokens.transaction_as(&kept, [token(1)], write).await;
    let version = done.unwrap().version.unwrap();
    let settle = async |ticket: &ReceiptHandle| {
        let (builder, redis) = (builder(), client(&primary));
        let settled = builder.resolve_mutation(redis, ticket, IfOpen::Settle);
        settled.await
    };
    for (ticket, found) in [
        (&lost, Resolution::NotApplied),
        (&kept, Resolution::Applied(version)),
    ] {
        match settle(ticket).await {
            Err(ResolveError::NotDurable { resolution, why }) => {
                assert_eq!(resolution, found.map(Version::get));
                assert!(why.starts_with("0 of 1 replicas had it"), "{why}");
            }
            other => panic!("{found}: {other:?}"),
        }
    }
    replica.resume().unwrap();
    assert_eq!(settle(&lost).await.unwrap(), Resolution::NotApplied);
    assert_eq!(settle(&kept).await.unwrap(), Resolution::Applied(version));
}

/// Would catch WAIT on the connection of appends and reads: all of them would wait
/// behind it. And a confirmation for each batch, one after the other.
#[tokio::test]
async fn nothing_waits_behind_a_wait() {
    let primary = server();
    let replica = replica(&primary).await;
    let builder = replicas_1(LONG);
    let (chain, tokens) = (
        builder.audit_store(client(&primary)),
        builder.token_store(builder.vault_store(client(&primary))),
    );
    let sink = replicas_1(LONG).deadline(LONG).audit_sink(chain);
    replica.stop().unwrap();
    let mut first = Box::pin(sink.record(event("first")));
    let mut second = None;
    let mut mutation = Box::pin(set(&tokens, 1));
    let reader = store(&primary);
    loop {
        let length = reader.tail(None).await.unwrap().length;
        assert!(poll_immediate(&mut first).await.is_none());
        assert!(poll_immediate(&mut mutation).await.is_none());
        match (length, &mut second) {
            (1, None) => second = Some(Box::pin(sink.record(event("second")))),
            (2, Some(second)) => {
                assert!(poll_immediate(second).await.is_none());
                let read = tokens.read_tokens(&[token(1)]).await.unwrap();
                if read.tokens[&token(1)].is_some() {
                    break;
                }
            }
            _ => tokio::task::yield_now().await,
        }
    }
    replica.resume().unwrap();
    let (first, second) = tokio::join!(first, second.unwrap());
    assert_eq!(first.unwrap().durability, DurabilityStatus::AsAsked);
    assert_eq!(second.unwrap().durability, DurabilityStatus::AsAsked);
    assert_eq!(mutation.await, DurabilityStatus::AsAsked);
}

/// Would catch WAIT on a new connection that has written nothing: it answers at once
/// that a replica has what none has. On valkey-server also after reads.
#[tokio::test]
async fn a_wait_after_a_reconnect_covers_what_was_written_before() {
    for primary in primaries() {
        let replica = replica(&primary).await;
        let builder = replicas_1(SHORT);
        let vault = builder.vault_store(client(&primary));
        let tokens = builder.token_store(vault);
        let sink = builder.open_audit(client(&primary)).await.unwrap();
        let mut commands = raw(&primary).await;
        replica.stop().unwrap();
        let mut append = Box::pin(sink.record(event("not replicated")));
        let mut mutation = Box::pin(set(&tokens, 1));
        let reader = store(&primary);
        while reader.tail(None).await.unwrap().length == 0
            || tokens.read_tokens(&[token(1)]).await.unwrap().tokens[&token(1)].is_none()
        {
            assert!(poll_immediate(&mut append).await.is_none());
            assert!(poll_immediate(&mut mutation).await.is_none());
        }
        run(&mut commands, "CLIENT KILL TYPE normal SKIPME yes").await;
        let (appended, changed) = tokio::join!(append, mutation);
        let appended = appended.unwrap().durability;
        assert!(
            matches!(appended, DurabilityStatus::NotYet(_)),
            "{appended:?}"
        );
        assert!(
            matches!(changed, DurabilityStatus::NotYet(_)),
            "{changed:?}"
        );
        replica.resume().unwrap();
    }
}

/// Would catch an anchor of a record that a failover may still lose, and one that is
/// never written because its record was confirmed late.
#[tokio::test]
async fn an_anchor_waits_for_its_record() {
    let primary = server();
    let replica = replica(&primary).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchors.jsonl");
    let anchors = || std::fs::read_to_string(&path).unwrap().lines().count();
    let sink = replicas_1(SHORT)
        .anchors(FileAnchors::open(&path).unwrap(), 1.try_into().unwrap())
        .open_audit(client(&primary))
        .await
        .unwrap();
    replica.stop().unwrap();
    let appended = sink.record(event("not replicated")).await.unwrap();
    let AnchorStatus::Missing(why) = appended.anchor else {
        panic!("an anchor before its record is durable");
    };
    assert_eq!(why, "its record is not yet as durable as asked");
    assert_eq!(anchors(), 0);
    replica.resume().unwrap();
    let appended = sink.record(event("replicated")).await.unwrap();
    assert_eq!(appended.anchor, AnchorStatus::Written);
    assert_eq!(anchors(), 2);
}

/// The same, of what others appended before the process started.
#[tokio::test]
async fn an_anchor_that_is_missing_at_the_start_waits_for_its_record() {
    let primary = server();
    let replica = replica(&primary).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("anchors.jsonl");
    let anchors = || std::fs::read_to_string(&path).unwrap().lines().count();
    let open = async || {
        replicas_1(SHORT)
            .anchors(FileAnchors::open(&path).unwrap(), 1.try_into().unwrap())
            .open_audit(client(&primary))
            .await
            .unwrap()
    };
    let sink = open().await;
    sink.record(event("anchored")).await.unwrap();
    sink.close(SHORT).await;
    assert_eq!(anchors(), 1);
    replica.stop().unwrap();
    let other = Builder::new().open_audit(client(&primary)).await.unwrap();
    other.record(event("not replicated")).await.unwrap();
    let sink = open().await;
    while sink.stats().anchor_failures == 0 && anchors() == 1 {
        tokio::task::yield_now().await;
    }
    assert_eq!(anchors(), 1, "an anchor before its record is durable");
    replica.resume().unwrap();
    sink.record(event("replicated")).await.unwrap();
    assert_eq!(anchors(), 3);
}

/// Would catch a start that promises what this Redis cannot give, without a next
/// step; and a level that is found by the server's version.
#[tokio::test]
async fn a_redis_that_cannot_make_writes_so_durable_is_refused() {
    let redis = RedisServer::start_with(&["--appendonly", "yes"]).unwrap();
    let mut cases = vec![
        (
            redis,
            Durability::Fsync,
            NotReady::FsyncUnavailable,
            "has no WAITAOF",
        ),
        (
            server(),
            REPLICAS_1,
            NotReady::InsufficientReplicas,
            "0 replicas are online",
        ),
        (
            server(),
            Durability::Fsync,
            NotReady::FsyncUnavailable,
            "appendonly is off",
        ),
    ];
    let never = ["--appendonly", "yes", "--appendfsync", "no"];
    for (args, why) in [
        (&never[..2], ""),
        (&never[2..], "appendonly is off"),
        (&never, "appendfsync is no"),
    ] {
        if let Some(valkey) = RedisServer::start_valkey(args).unwrap() {
            cases.push((valkey, Durability::Fsync, NotReady::FsyncUnavailable, why));
        }
    }
    for (server, level, reason, why) in cases {
        let opened = Builder::new()
            .durability(level)
            .open_audit(client(&server))
            .await;
        let vault = Builder::new()
            .durability(level)
            .vault_store(client(&server));
        let faults = vault.ready().await.faults;
        match (opened, why) {
            (Ok(sink), "") => {
                assert!(faults.is_empty(), "{faults:?}");
                let appended = sink.record(event("e")).await.unwrap();
                assert_eq!(appended.durability, DurabilityStatus::AsAsked);
            }
            (Err(error), why) => {
                assert_eq!(error.reason, reason);
                assert!(error.cause.to_string().contains(why), "{error}");
                assert_eq!(faults.first().map(|(reason, _)| *reason), Some(reason));
                let sink = Builder::new()
                    .durability(level)
                    .tolerate(reason)
                    .timeouts(timeouts(SHORT))
                    .open_audit(client(&server))
                    .await
                    .unwrap();
                let appended = sink.record(event("e")).await.unwrap();
                let durability = appended.durability;
                assert!(
                    matches!(durability, DurabilityStatus::NotYet(_)),
                    "{durability:?}"
                );
            }
            (Ok(_), why) => panic!("opened although {why}"),
        }
    }
}

/// Would catch a connection to a primary without replicas that is used although
/// replicas were asked for: what was fine at the start is no longer.
#[tokio::test]
async fn a_new_connection_is_asked_for_its_replicas() {
    let primary = server();
    let replica = replica(&primary).await;
    let forwarder = Forwarder::start(primary.port()).await;
    let sink = replicas_1(SHORT)
        .deadline(Duration::from_secs(1))
        .open_audit(forwarder.client())
        .await
        .unwrap();
    sink.record(event("replicated")).await.unwrap();
    drop(replica);
    let alone = server();
    forwarder.lead_to(&alone);
    // The first meets the connection that was cut.
    let _ = sink.record(event("cut")).await;
    match sink.record(event("alone")).await {
        Err(AppendError::NotApplied(NotApplied::Deadline(cause))) => {
            assert!(
                cause.to_string().contains("0 replicas are online"),
                "{cause}"
            );
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(store(&alone).tail(None).await.unwrap().length, 0);
}

/// What was acknowledged as durable: sequences with hashes, and tokens.
#[derive(Default)]
struct Acknowledged {
    records: Vec<(u64, String)>,
    tokens: Vec<TokenId>,
}

/// Appends and mutates, `ops` of each; calls `kill` when so many are acknowledged.
async fn write<S: VaultStore>(
    sink: AuditSink,
    tokens: TokenStore<S>,
    ops: u32,
    mut kill: impl FnMut(),
) -> Acknowledged {
    let callers = 256.min(ops);
    let next = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let (told, mut acknowledged) = tokio::sync::mpsc::unbounded_channel();
    let mut running = JoinSet::new();
    for _ in 0..callers {
        let (sink, tokens, next, told) = (sink.clone(), tokens.clone(), next.clone(), told.clone());
        running.spawn(async move {
            loop {
                let number = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                if number >= ops {
                    return;
                }
                let id = token(number);
                let write = |view: &mut View| view.set(&id, Stored::from(b"{}".to_vec()));
                let (appended, changed) = tokio::join!(
                    sink.record(event(&format!("e{number}"))),
                    tokens.transaction([id.clone()], write),
                );
                let _ = told.send((appended, changed.map(|done| (id, done.durability))));
            }
        });
    }
    drop(told);
    let mut all = Acknowledged::default();
    while let Some((appended, changed)) = acknowledged.recv().await {
        if let Ok(appended) = appended
            && appended.durability.is_as_asked()
        {
            let position = appended.position;
            all.records
                .push((position.sequence.get(), position.event_hash.to_string()));
        }
        if let Ok((id, DurabilityStatus::AsAsked)) = changed {
            all.tokens.push(id);
        }
        if all.records.len() == ops as usize / 2 {
            kill();
        }
    }
    while running.join_next().await.is_some() {}
    all
}

impl Acknowledged {
    /// All of it must be at `server`.
    async fn assert_at(&self, server: &RedisServer, at_least: u32) {
        assert!(
            self.records.len() >= at_least as usize,
            "{}",
            self.records.len()
        );
        assert!(!self.tokens.is_empty());
        let records = verified(&store(server)).await;
        for (sequence, hash) in &self.records {
            let record = records.get(*sequence as usize - 1);
            let found = record.map(|record| record.position.event_hash.to_string());
            assert_eq!(
                found.as_ref(),
                Some(hash),
                "sequence {sequence} was acknowledged"
            );
        }
        let tokens = Builder::new().token_store(Builder::new().vault_store(client(server)));
        let read = tokens.read_tokens(&self.tokens).await.unwrap();
        let lost: Vec<_> = read
            .tokens
            .iter()
            .filter(|(_, found)| found.is_none())
            .collect();
        assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    }
}

/// kill -9 of the primary in the middle of `ops` appends and mutations, and promotion
/// of its replica.
async fn failover(ops: u32) {
    let mut primary = server();
    let (replica, mut of_replica) = replica_of(&primary).await;
    let forwarder = Forwarder::start(primary.port()).await;
    let builder = || {
        replicas_1(SHORT)
            .deadline(Duration::from_secs(5))
            .tolerate(NotReady::InsufficientReplicas)
    };
    let tokens = builder().token_store(builder().vault_store(forwarder.client()));
    let sink = builder().open_audit(forwarder.client()).await.unwrap();
    let mut killed = false;
    let written = write(sink.clone(), tokens, ops, || {
        if !std::mem::replace(&mut killed, true) {
            primary.kill().unwrap();
            let mut of_replica = of_replica.clone();
            let (port, forwarder) = (replica.port(), &forwarder);
            tokio::spawn(async move { run(&mut of_replica, "REPLICAOF NO ONE").await });
            forwarder.lead_to_port(port);
        }
    })
    .await;
    assert!(killed);
    written.assert_at(&replica, ops / 2).await;
    run(&mut of_replica, "PING").await;
    // The same process appends to the promoted one, and says that nobody else has it.
    let after = sink.record(event("after")).await;
    match after {
        Ok(appended) => assert!(!appended.durability.is_as_asked()),
        Err(AppendError::Corrupt(_)) => {}
        other => panic!("{other:?}"),
    }
}

/// Would catch an acknowledgement before the replica has the write: WAIT on another
/// connection than the one that wrote, or whose count is not checked.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_replicas_acknowledged_is_lost_with_the_primary() {
    failover(1500).await;
}

/// As above, longer: `cargo test --all-features --test it -- --ignored durability`.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn nothing_that_replicas_acknowledged_is_lost_with_the_primary_long() {
    failover(50_000).await;
}

/// kill -9 of a primary with an append-only file in the middle of `ops` appends and
/// mutations, and its restart.
async fn restart(ops: u32) {
    let aof = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let Some(mut primary) = RedisServer::start_valkey(&aof).unwrap() else {
        skip(NO_VALKEY);
        return;
    };
    let builder = || {
        Builder::new()
            .durability(Durability::Fsync)
            .deadline(Duration::from_secs(10))
    };
    let tokens = builder().token_store(builder().vault_store(client(&primary)));
    let sink = builder().open_audit(client(&primary)).await.unwrap();
    let mut killed = false;
    let written = write(sink, tokens, ops, || {
        if !std::mem::replace(&mut killed, true) {
            primary.restart().unwrap();
        }
    })
    .await;
    assert!(killed);
    written.assert_at(&primary, ops / 2).await;
}

/// Would catch an acknowledgement before the disk has the write: while an fsync is slow,
/// the server postpones even the write, and loses it with its process.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_the_disk_has_is_lost_with_the_process() {
    restart(1500).await;
}

/// As above, longer.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes"]
async fn nothing_that_the_disk_has_is_lost_with_the_process_long() {
    restart(50_000).await;
}

/// Would catch one fsync for each batch, one after the other: with appendfsync
/// everysec that is a few batches a second.
#[tokio::test]
async fn one_fsync_covers_all_writes_before_it() {
    let aof = ["--appendonly", "yes", "--appendfsync", "everysec"];
    let Some(primary) = RedisServer::start_valkey(&aof).unwrap() else {
        return;
    };
    let mut config = haechi_store_redis::audit::AuditConfig::default();
    config.batch_records = 1;
    let sink = Builder::new()
        .durability(Durability::Fsync)
        .audit_config(config)
        .open_audit(client(&primary))
        .await
        .unwrap();
    let appends = (0..500).map(|number| sink.record(event(&format!("e{number}"))));
    for appended in join_all(appends).await {
        assert_eq!(appended.unwrap().durability, DurabilityStatus::AsAsked);
    }
    assert_eq!(sink.stats().batches, 500);
}
