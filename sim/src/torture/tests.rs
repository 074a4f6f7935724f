//! What the proxy says that it does, against the simulated Redis on a port.

use std::{future::Future, net::Ipv4Addr, time::Duration};

use haechi_store_redis::clock::{Clock, SystemClock, within};
use redis::{Client, RedisResult, aio::MultiplexedConnection, cmd};
use tokio::net::TcpListener;

use super::{
    plan::{Kind, Plan, Tally, Trouble},
    proxy::{self, Way},
};
use crate::{
    fault::FaultKind,
    world::{self, WorldOptions, generator},
};
use redis_sim::{Config, tcp::TcpServer};

const MOMENT: Duration = Duration::from_millis(200);

/// Gives `test` a way to a server, and a client at either end of it.
fn on_the_way<F: Future<Output = ()>>(test: impl FnOnce(Way, Client, Client, SystemClock) -> F) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = SystemClock::new();
        let server = TcpServer::start(Config::default()).unwrap();
        let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ports = [server.port(), proxy.local_addr().unwrap().port()];
        let way = Way::new(generator(1, "way"), clock.clone(), Tally::default());
        tokio::spawn(proxy::run(proxy, ports[0], way.clone()));
        let [direct, client] =
            ports.map(|port| Client::open(format!("redis://127.0.0.1:{port}/")).unwrap());
        test(way, client, direct, clock).await;
    });
}

fn trouble(kind: FaultKind) -> Trouble {
    Trouble {
        at: Duration::ZERO,
        lasts: MOMENT,
        kind: Kind::World(kind),
        replica: 0,
        amount: MOMENT,
        percent: 100,
    }
}

async fn incr(connection: &mut MultiplexedConnection) -> RedisResult<u64> {
    cmd("INCR").arg("k").query_async(connection).await
}

async fn count(client: &Client) -> Option<u64> {
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    cmd("GET")
        .arg("k")
        .query_async(&mut connection)
        .await
        .unwrap()
}

/// Would catch a cut that says *before execution* of what ran, or *after* of
/// what did not, and so proves something else than it claims.
#[test]
fn a_cut_is_where_it_says() {
    for (kind, ran) in [
        (FaultKind::ResetBeforeExecution, None),
        (FaultKind::ResetAfterExecution, Some(1)),
        (FaultKind::ResetMidReply, Some(1)),
    ] {
        on_the_way(|way, client, direct, _| async move {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            way.begin(trouble(kind));
            assert!(incr(&mut connection).await.is_err());
            assert_eq!(count(&direct).await, ran, "{kind}");
            // It has struck, and its time is over.
            way.end(trouble(kind));
            assert_eq!(count(&client).await, ran, "{kind}");
        });
    }
}

/// Would catch a late command that is lost with its sender: that a store told
/// *not applied* of it would be no lie then.
#[test]
fn a_late_command_runs_without_its_sender() {
    on_the_way(|way, client, direct, clock| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        way.begin(trouble(FaultKind::LateCommand));
        let answer = incr(&mut connection);
        assert!(within(&clock, MOMENT / 4, answer).await.is_none());
        drop(connection);
        assert_eq!(count(&direct).await, None);
        clock.sleep(MOMENT * 2).await;
        assert_eq!(count(&direct).await, Some(1));
    });
}

/// Would catch a fault that ends before anything came that it could strike.
#[test]
fn a_cut_waits_for_its_command() {
    on_the_way(|way, client, direct, _| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let cut = trouble(FaultKind::ResetAfterExecution);
        way.begin(cut);
        way.end(cut);
        assert!(incr(&mut connection).await.is_err());
        assert_eq!(count(&direct).await, Some(1));
        assert_eq!(count(&client).await, Some(1));
    });
}

/// Would catch a kind of fault that no plan has, and a plan that is not its
/// seed's.
#[test]
fn a_plan_has_every_kind_and_is_its_seeds() {
    for seed in 0..50 {
        let config = world::Config::draw(seed, &WorldOptions::default());
        let draw = || Plan::draw(&config, Duration::from_secs(60));
        let (plan, again) = (draw(), draw());
        assert_eq!(plan.server, again.server);
        assert_eq!(plan.replicas, again.replicas);
        for (kinds, troubles) in [
            (&Kind::SERVER[..], &plan.server),
            (&Kind::REPLICA[..], &plan.replicas),
        ] {
            for kind in kinds {
                assert!(troubles.iter().any(|trouble| trouble.kind == *kind));
            }
            assert!(troubles.is_sorted_by_key(|trouble| trouble.at));
        }
        // One after the other: what comes back must not come back too early.
        let overlap = |pair: &[Trouble]| pair[0].at + pair[0].lasts > pair[1].at;
        assert!(!plan.server.windows(2).any(overlap));
    }
}
