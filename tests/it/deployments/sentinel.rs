//! A primary, a replica and three Sentinels.

use std::{collections::BTreeSet, num::NonZeroU32, time::Duration};

use haechi_store_redis::{
    AppendError, Builder, Corrupt, Durability, DurabilityStatus,
    audit::AuditSink,
    clock::{Clock, SystemClock},
    redis::Endpoint,
    vault::{Stored, TokenId, View},
};
use redis_sim::server_process::RedisServer;

use crate::{
    replica::replica_of,
    support::{ask, client, event, raw, replicate, run, server, verified},
};

/// A group named `m`.
struct Group {
    primary: RedisServer,
    replica: RedisServer,
    sentinels: Vec<RedisServer>,
}

impl Group {
    async fn start() -> Self {
        let primary = server();
        let (replica, _) = replica_of(&primary).await;
        let configuration = format!(
            "sentinel monitor m 127.0.0.1 {} 2\n\
             sentinel down-after-milliseconds m 3000\n\
             sentinel failover-timeout m 3000\n",
            primary.port()
        );
        let start = |_| RedisServer::start_sentinel(&configuration).unwrap();
        let group = Self {
            primary,
            replica,
            sentinels: (0..3).map(start).collect(),
        };
        for sentinel in &group.sentinels {
            let mut commands = raw(sentinel).await;
            let knows = async |commands: &mut _| -> String { ask(commands, "INFO sentinel").await };
            while !knows(&mut commands).await.contains("slaves=1,sentinels=3") {
                tokio::task::yield_now().await;
            }
        }
        group
    }

    fn endpoint(&self) -> Endpoint {
        let addresses = self
            .sentinels
            .iter()
            .map(|one| format!("127.0.0.1:{}", one.port()));
        let addresses: Vec<String> = addresses.collect();
        let url = format!("redis+sentinel://{}/m", addresses.join(","));
        url.parse().unwrap()
    }

    /// Promotes the replica; the old primary is told only seconds later.
    async fn fail_over(&self) {
        let mut commands = raw(&self.sentinels[0]).await;
        run(&mut commands, "SENTINEL FAILOVER m").await;
    }

    /// Waits until every Sentinel names the former replica.
    async fn has_switched(&self) {
        for sentinel in &self.sentinels {
            let mut commands = raw(sentinel).await;
            loop {
                let (_, port): (String, u16) =
                    ask(&mut commands, "SENTINEL GET-MASTER-ADDR-BY-NAME m").await;
                if port == self.replica.port() {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
    }

    /// The event hashes on the new primary.
    async fn kept(&self) -> BTreeSet<String> {
        let store = Builder::new().audit_store(client(&self.replica));
        let records = verified(&store).await;
        records
            .iter()
            .map(|record| record.position.event_hash.to_string())
            .collect()
    }
}

fn builder(durability: Durability) -> Builder {
    Builder::new()
        .deadline(Duration::from_secs(20))
        .durability(durability)
}

/// Would catch a process that goes on writing to the deposed primary, which takes writes
/// for ten seconds: what it was told is durable would not be on the new one. And a vault
/// or a chain that stops at the failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_survives_a_failover() {
    let group = Group::start().await;
    let builder = builder(Durability::Replicas(NonZeroU32::MIN));
    let tokens = builder.token_store(builder.vault_store(group.endpoint()));
    let sink = builder.open_audit(group.endpoint()).await.unwrap();

    let mut durable = BTreeSet::new();
    let mut switched = std::pin::pin!(async {
        group.fail_over().await;
        group.has_switched().await;
    });
    let mut is_over = false;
    let mut left = 50;
    let mut number = 0;
    while left > 0 {
        let id = format!("e{number}");
        let token = TokenId::new(&format!("tok_email_{number:032x}")).unwrap();
        number += 1;
        let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
        let work = async {
            let appended = sink.record(event(&id)).await;
            let written = tokens.transaction([token.clone()], write).await;
            (appended, written)
        };
        let (appended, written) = if is_over {
            left -= 1;
            work.await
        } else {
            let mut work = std::pin::pin!(work);
            tokio::select! {
                () = &mut switched => {
                    is_over = true;
                    work.await
                }
                done = &mut work => done,
            }
        };
        match appended {
            Ok(appended) if appended.durability == DurabilityStatus::AsAsked => {
                durable.insert(appended.position.event_hash.to_string());
            }
            Ok(_) => {}
            // What was not durable yet is gone.
            Err(error) if error.to_string().contains("rolled back") => break,
            Err(error) => panic!("append: {error}"),
        }
        match written {
            Ok(_) => {}
            Err(error) if error.to_string().contains("rolled back") => break,
            Err(error) => panic!("mutation: {error}"),
        }
    }
    if !is_over {
        switched.await;
    }
    let kept = group.kept().await;
    let lost: Vec<&String> = durable.difference(&kept).collect();
    assert!(
        lost.is_empty(),
        "{} of {} are lost",
        lost.len(),
        durable.len()
    );
    assert!(durable.len() > 10, "{}", durable.len());
}

/// Would catch a process that does not notice that the primary was deposed, or that what
/// it had seen is gone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_loses_is_told() {
    let group = Group::start().await;
    let sink = builder(Durability::Memory)
        .open_audit(group.endpoint())
        .await
        .unwrap();
    let mut acknowledged = BTreeSet::new();
    let mut number = 0;
    let mut append = async |sink: &AuditSink, acknowledged: &mut BTreeSet<String>| {
        let id = format!("e{number}");
        number += 1;
        match sink.record(event(&id)).await {
            Ok(appended) => {
                acknowledged.insert(appended.position.event_hash.to_string());
                true
            }
            Err(AppendError::Corrupt(Corrupt::RolledBack(_))) => false,
            Err(AppendError::NotApplied(_) | AppendError::Unknown { .. }) => true,
            Err(error) => panic!("{error}"),
        }
    };
    for _ in 0..20 {
        assert!(append(&sink, &mut acknowledged).await);
    }
    group.fail_over().await;
    let switched = tokio::spawn({
        async move {
            group.has_switched().await;
            group
        }
    });
    let mut goes_on = true;
    while !switched.is_finished() && goes_on {
        goes_on = append(&sink, &mut acknowledged).await;
    }
    let group = switched.await.unwrap();
    let (clock, told) = (SystemClock::new(), Duration::from_secs(5));
    let began = clock.now();
    let mut after = 0;
    // It is at the new primary once this many have been taken, or says what is lost.
    while goes_on && clock.now() - began < told {
        goes_on = append(&sink, &mut acknowledged).await;
        after += 1;
    }
    let kept = group.kept().await;
    let lost = acknowledged.difference(&kept).count();
    println!(
        "{} acknowledged, {lost} lost, told after {} ms and {after} more appends: {}",
        acknowledged.len(),
        (clock.now() - began).as_millis(),
        !goes_on
    );
    assert_eq!(lost > 0, !goes_on, "{lost} lost");
}

/// Would catch a failover after which the store stays without a primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_after_kill_9_of_the_primary() {
    let mut group = Group::start().await;
    // An election can fail on a busy machine, and the next one comes a failover time-out later.
    let sink = builder(Durability::Memory)
        .deadline(Duration::from_secs(120))
        .open_audit(group.endpoint())
        .await
        .unwrap();
    for number in 0..10 {
        sink.record(event(&format!("before {number}")))
            .await
            .unwrap();
    }
    // All of it has reached the replica.
    replicate(&mut raw(&group.primary).await, "replicated").await;
    group.primary.kill().unwrap();
    sink.record(event("after")).await.unwrap();
    let kept = group.kept().await;
    assert_eq!(kept.len(), 11, "{kept:?}");
}

/// Would catch a store that waits for the word of the Sentinels, which need half a minute
/// to learn of a failover that they did not do, and do another one then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_by_a_coordinated_failover() {
    let group = Group::start().await;
    let builder = builder(Durability::Memory);
    let tokens = builder.token_store(builder.vault_store(group.endpoint()));
    let sink = builder.open_audit(group.endpoint()).await.unwrap();
    let write = async |number: usize| {
        sink.record(event(&number.to_string())).await.unwrap();
        let token = TokenId::new(&format!("tok_email_{number:032x}")).unwrap();
        let write = |view: &mut View| view.set(&token, Stored::from(b"{}".to_vec()));
        tokens.transaction([token.clone()], write).await.unwrap();
    };
    let mut fail_over = std::pin::pin!(async {
        let mut commands = raw(&group.primary).await;
        let to = format!("FAILOVER TO 127.0.0.1 {}", group.replica.port());
        run(&mut commands, &to).await;
        let mut promoted = raw(&group.replica).await;
        let role = async |promoted: &mut _| -> String { ask(promoted, "INFO replication").await };
        while !role(&mut promoted).await.contains("role:master") {
            tokio::task::yield_now().await;
        }
    });
    let (mut number, mut after) = (0, None);
    while after.is_none_or(|after| number < after + 50) {
        let mut written = std::pin::pin!(write(number));
        tokio::select! {
            () = &mut fail_over, if after.is_none() => {
                after = Some(number);
                written.await;
            }
            () = &mut written => {}
        }
        number += 1;
    }
    assert_eq!(group.kept().await.len(), number);
    let builder = Builder::new();
    let tokens = builder.token_store(builder.vault_store(client(&group.replica)));
    let kept = tokens.read(|view| view.entries().len()).await.unwrap();
    assert_eq!(kept, number);
}
