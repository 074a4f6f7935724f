//! A primary, a replica and three Sentinels.

use std::{cell::OnceCell, collections::BTreeSet, num::NonZeroU32, time::Duration};

use futures_util::future::{join_all, select_all};
use haechi_store_redis::{
    Durability, Health,
    clock::{Clock, SystemClock},
    redis::Endpoint,
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;

use super::writers::{Writers, builder, kept, pause};
use crate::{
    replica::replica_of,
    support::{ask, event, raw, replicate, run, server},
};

/// Has a Sentinel promote the replica of the group `m`: it is refused until the Sentinel
/// knows that the replica is linked to its primary.
pub(super) async fn fail_over(sentinel: &mut MultiplexedConnection) {
    let mut command = redis::cmd("SENTINEL");
    command.arg("FAILOVER").arg("m");
    loop {
        match command.exec_async(sentinel).await {
            Ok(()) => break,
            Err(error) => assert_eq!(error.code(), Some("NOGOODSLAVE"), "{error}"),
        }
        pause().await;
    }
}

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
        fail_over(&mut raw(&self.sentinels[0]).await).await;
    }

    /// Waits until a Sentinel names the former replica.
    async fn has_switched(&self, sentinel: &RedisServer) {
        let mut commands = raw(sentinel).await;
        loop {
            let (_, port): (String, u16) =
                ask(&mut commands, "SENTINEL GET-MASTER-ADDR-BY-NAME m").await;
            if port == self.replica.port() {
                break;
            }
            pause().await;
        }
    }

    /// The new primary, without asking Sentinels.
    fn promoted(&self) -> Endpoint {
        self.replica.url().parse().unwrap()
    }

    /// Processes that ask Sentinels.
    async fn writers(&self, processes: usize, durability: Durability) -> Writers {
        Writers::start((0..processes).map(|_| self.endpoint()), durability).await
    }
}

/// Would catch a process that goes on writing to the deposed primary, which takes writes
/// for ten seconds: what it was told is durable would not be on the new one. And a vault
/// or a chain that stops at the failover.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replica_has_survives_a_failover() {
    let group = Group::start().await;
    let replicated = Durability::Replicas(NonZeroU32::MIN);
    let writers = group.writers(3, replicated).await;
    writers.go_on(50).await;
    group.fail_over().await;
    join_all(group.sentinels.iter().map(|one| group.has_switched(one))).await;
    writers.go_on(50).await;
    writers.lose_nothing_durable(&group.promoted(), 50).await;
}

/// Would catch a process whose health does not say that it would not notice a failover, and
/// one that stops although nothing asks it to.
#[tokio::test]
async fn writes_go_on_without_sentinels_and_health_says_so() {
    let primary = server();
    let configuration = format!("sentinel monitor m 127.0.0.1 {} 1\n", primary.port());
    let sentinel = RedisServer::start_sentinel(&configuration).unwrap();
    let url = format!("redis+sentinel://127.0.0.1:{}/m", sentinel.port());
    let endpoint: Endpoint = url.parse().unwrap();
    let sink = builder().open_audit(endpoint.clone()).await.unwrap();
    let tokens = builder().token_store(builder().vault_store(endpoint));
    sink.record(event("1")).await.unwrap();
    assert_eq!(sink.health(), Health::Serving);
    assert_eq!(tokens.probe().await, Health::Serving);
    drop(sentinel);
    let is_told = |health| matches!(health, Health::Unwatched { .. });
    // Far longer than it takes.
    let mut looks = 0..10_000;
    while !is_told(sink.health()) || !is_told(tokens.health()) {
        looks.next().unwrap();
        pause().await;
    }
    sink.record(event("2")).await.unwrap();
    assert!(is_told(tokens.probe().await));
}

/// Within which time after the first Sentinel's switch every process has said what is lost:
/// two seconds, and one more on a busy machine.
const TOLD: Duration = Duration::from_secs(3);

/// Would catch a process that does not notice that the primary was deposed, that notices it
/// late, or that goes on as if nothing that it had seen was lost.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_failover_loses_is_told() {
    let group = Group::start().await;
    // They write without a pause, so that each of them is told of writes that are lost.
    let writers = group.writers(2, Durability::Memory).await;
    writers.go_on(50).await;
    let clock = writers.clock();
    group.fail_over().await;
    let switch = group
        .sentinels
        .iter()
        .map(|one| Box::pin(group.has_switched(one)));
    select_all(switch).await;
    let switched = clock.now();
    writers.are_told(TOLD * 5).await;
    let written = writers.end().await;
    let lost = written.durable.lost(&kept(&group.promoted()).await);
    let after = |told: &[Duration]| -> Vec<u128> {
        let after = told
            .iter()
            .map(|told| told.saturating_sub(switched).as_millis());
        after.collect()
    };
    let (chains, vaults) = (after(&written.chains), after(&written.vaults));
    println!(
        "{} of {} appends and {} of {} mutations lost; told after {chains:?} and {vaults:?} ms",
        lost.events.len(),
        written.durable.events.len(),
        lost.tokens.len(),
        written.durable.tokens.len(),
    );
    assert!(!lost.events.is_empty() && !lost.tokens.is_empty());
    assert_eq!((chains.len(), vaults.len()), (2, 2));
    let late = chains.iter().chain(&vaults).max();
    assert!(
        late.is_some_and(|late| *late <= TOLD.as_millis()),
        "{late:?} ms"
    );
}

/// For how long after the switch a process is not told of it.
const UNTOLD: Duration = Duration::from_secs(4);

/// Would catch a refusal of a primary without replicas that is told as an append, or as
/// something else; and a statement in docs/deployment.md about what it narrows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn min_replicas_narrows_what_a_failover_loses() {
    for replicas in [0, 1] {
        let group = Group::start().await;
        let set = format!("CONFIG SET min-replicas-to-write {replicas}");
        run(&mut raw(&group.primary).await, &set).await;
        let to_primary: Endpoint = group.primary.url().parse().unwrap();
        let sink = builder().deadline(Duration::from_secs(1));
        let sink = sink.open_audit(to_primary).await.unwrap();
        sink.record(event("0")).await.unwrap();
        let clock = SystemClock::new();
        let switched = OnceCell::new();
        let fail_over = async {
            group.fail_over().await;
            group.has_switched(&group.sentinels[0]).await;
            switched.set(clock.now()).unwrap();
        };
        let append = async {
            let (mut acknowledged, mut last) = (BTreeSet::from([0]), clock.now());
            for name in 1.. {
                match sink.record(event(&name.to_string())).await {
                    Ok(_) => drop(acknowledged.insert(name)),
                    Err(error) => return (acknowledged, last, Some(error.to_string())),
                }
                last = clock.now();
                if switched.get().is_some_and(|at| last > *at + UNTOLD) {
                    break;
                }
            }
            (acknowledged, last, None)
        };
        let ((), (acknowledged, last, refused)) = tokio::join!(fail_over, append);
        let lost = acknowledged
            .difference(&kept(&group.promoted()).await.events)
            .count();
        println!(
            "min-replicas-to-write {replicas}: {lost} of {} lost, the last {} ms after the switch",
            acknowledged.len(),
            last.saturating_sub(*switched.get().unwrap()).as_millis()
        );
        let is_refused = refused.as_ref().map(|why| why.contains("NOREPLICAS"));
        assert_eq!(is_refused, (replicas > 0).then_some(true), "{refused:?}");
        assert!(lost > 0 || replicas > 0);
    }
}

/// Would catch a failover after which the store stays without a primary.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_goes_on_after_kill_9_of_the_primary() {
    let mut group = Group::start().await;
    // An election can fail on a busy machine, and the next one comes a failover time-out later.
    let sink = builder()
        .deadline(Duration::from_secs(120))
        .open_audit(group.endpoint())
        .await
        .unwrap();
    for number in 0..10 {
        sink.record(event(&number.to_string())).await.unwrap();
    }
    // All of it has reached the replica.
    replicate(&mut raw(&group.primary).await, "replicated").await;
    group.primary.kill().unwrap();
    sink.record(event("10")).await.unwrap();
    assert!(kept(&group.promoted()).await.events.into_iter().eq(0..11));
}

/// Would catch a store that waits for the word of the Sentinels, which need half a minute
/// to learn of a failover that they did not do, and do another one then.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_lost_or_repeated_by_a_coordinated_failover() {
    let group = Group::start().await;
    let writers = group.writers(3, Durability::Memory).await;
    writers.go_on(20).await;
    let to = format!("FAILOVER TO 127.0.0.1 {}", group.replica.port());
    run(&mut raw(&group.primary).await, &to).await;
    let mut promoted = raw(&group.replica).await;
    let role = async |promoted: &mut _| -> String { ask(promoted, "INFO replication").await };
    while !role(&mut promoted).await.contains("role:master") {
        pause().await;
    }
    writers.go_on(50).await;
    writers.lose_nothing(&group.promoted()).await;
}
