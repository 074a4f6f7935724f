//! The proxy's faults, against the simulated Redis on a port.

use std::{collections::BTreeSet, future::Future, net::Ipv4Addr, time::Duration};

use haechi_store_redis::clock::{Clock, SystemClock, within};
use redis::{Client, ConnectionAddr, RedisResult, aio::MultiplexedConnection, cmd};
use tokio::net::TcpListener;

use super::{
    is_supported,
    plan::{Plan, Tally},
    proxy::{self, ProxyLink},
};
use crate::plan::{
    CommandFault, Fault, FaultClass, FaultKind, Knobs, LinkFault, WorldOptions, generator,
};
use redis_sim::{Config, tcp::TcpServer};

const MOMENT: Duration = Duration::from_millis(200);

/// Runs `test` with a link, a client through it, and a direct client. The link's
/// other server is empty.
fn with_proxy<F: Future<Output = ()>>(
    test: impl FnOnce(ProxyLink, Client, Client, SystemClock) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let clock = SystemClock::new();
        let server = TcpServer::start(Config::default()).unwrap();
        let lagging = TcpServer::start(Config::default()).unwrap();
        let proxy = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let ports = [server.port(), proxy.local_addr().unwrap().port()];
        let (rng, tally) = (generator(1, "link"), Tally::default());
        let link = ProxyLink::new(rng, ports[0], lagging.port(), clock.clone(), tally);
        tokio::spawn(proxy::run(proxy, link.clone()));
        let [direct, client] =
            ports.map(|port| Client::open(format!("redis://127.0.0.1:{port}/")).unwrap());
        test(link, client, direct, clock).await;
    });
}

fn fault(kind: impl Into<FaultKind>) -> Fault {
    Fault {
        at: 0,
        lasts: 200,
        kind: kind.into(),
        replica: Some(0),
        // Percent of a cut, milliseconds of a delay.
        amount: 200,
        once: false,
    }
}

fn port(client: &Client) -> u16 {
    match client.get_connection_info().addr() {
        ConnectionAddr::Tcp(_, port) => *port,
        other => panic!("{other:?}"),
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

/// Would catch a cut before execution of a command that ran, or a cut or an error
/// after execution of a command that did not.
#[test]
fn a_cut_is_before_or_after_execution() {
    for (kind, ran) in [
        (CommandFault::ResetBeforeExecution, None),
        (CommandFault::ResetAfterExecution, Some(1)),
        (CommandFault::ResetMidReply, Some(1)),
        (CommandFault::ErrorAfterExecution, Some(1)),
    ] {
        with_proxy(|link, client, direct, _| async move {
            let mut connection = client.get_multiplexed_async_connection().await.unwrap();
            link.begin(fault(kind));
            assert!(incr(&mut connection).await.is_err());
            assert_eq!(count(&direct).await, ran, "{kind:?}");
            // It has struck, so it ends now.
            link.end(fault(kind));
            assert_eq!(count(&client).await, ran, "{kind:?}");
        });
    }
}

/// Would catch a bandwidth limit that ignores the reply's size.
#[test]
fn bandwidth_delays_by_size() {
    with_proxy(|link, client, _, clock| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let set = cmd("SET").arg("large").arg(vec![b'x'; 1 << 20]).to_owned();
        set.exec_async(&mut connection).await.unwrap();
        // 1 MiB at 200 bytes a millisecond: five seconds.
        link.begin(fault(CommandFault::LimitedBandwidth));
        assert_eq!(incr(&mut connection).await.unwrap(), 1);
        let get = cmd("GET").arg("large").to_owned();
        let answer = get.query_async::<Vec<u8>>(&mut connection);
        assert!(within(&clock, MOMENT, answer).await.is_none());
    });
}

/// Would catch a late command that is lost with its sender: *not applied* would
/// then always be true.
#[test]
fn a_late_command_runs_without_its_sender() {
    with_proxy(|link, client, direct, clock| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        link.begin(fault(CommandFault::LateCommand));
        let answer = incr(&mut connection);
        assert!(within(&clock, MOMENT / 4, answer).await.is_none());
        drop(connection);
        assert_eq!(count(&direct).await, None);
        clock.sleep(MOMENT * 2).await;
        assert_eq!(count(&direct).await, Some(1));
    });
}

/// Would catch a fault that ends before it has struck.
#[test]
fn a_cut_waits_for_its_command() {
    with_proxy(|link, client, direct, _| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let cut = fault(CommandFault::ResetAfterExecution);
        link.begin(cut);
        link.end(cut);
        assert!(incr(&mut connection).await.is_err());
        assert_eq!(count(&direct).await, Some(1));
        assert_eq!(count(&client).await, Some(1));
    });
}

/// Would catch a link that keeps its connections to the primary while it leads
/// to a replica, and one that does not lead back.
#[test]
fn a_link_leads_to_the_replica_and_back() {
    with_proxy(|link, client, direct, _| async move {
        let connect = || client.get_multiplexed_async_connection();
        let mut connection = connect().await.unwrap();
        assert_eq!(incr(&mut connection).await.unwrap(), 1);
        link.begin(fault(LinkFault::LaggingReplica));
        assert!(incr(&mut connection).await.is_err());
        let mut connection = connect().await.unwrap();
        assert_eq!(incr(&mut connection).await.unwrap(), 1);
        assert_eq!(count(&direct).await, Some(1));
        link.end(fault(LinkFault::LaggingReplica));
        assert!(incr(&mut connection).await.is_err());
        let mut connection = connect().await.unwrap();
        assert_eq!(incr(&mut connection).await.unwrap(), 2);
    });
}

/// Would catch a connection to the node that was replaced that still works, and a
/// new one that leads there.
#[test]
fn only_open_connections_lead_to_a_node_that_was_replaced() {
    with_proxy(|link, client, direct, _| async move {
        let connect = || client.get_multiplexed_async_connection();
        let mut connection = connect().await.unwrap();
        link.begin(Fault {
            amount: 0,
            ..fault(LinkFault::NodeReplaced)
        });
        for _ in 0..2 {
            let refused = incr(&mut connection).await.unwrap_err();
            assert_eq!(refused.code(), Some("MOVED"));
        }
        assert_eq!(count(&direct).await, None);
        let mut connection = connect().await.unwrap();
        assert_eq!(incr(&mut connection).await.unwrap(), 1);
    });
}

/// Would catch faults that strike although they are not among those chosen, and
/// a plan that has none of them.
#[test]
fn a_plan_has_only_the_chosen_kinds() {
    let knobs = Knobs::draw(1, &WorldOptions::default());
    let draw = |kinds: &[FaultKind]| Plan::draw(&knobs, kinds, Duration::from_secs(5));
    let plan = draw(&[LinkFault::LaggingReplica.into()]);
    assert!(plan.server.is_empty() && plan.replicas.is_empty());
    assert!(plan.lagging.len() > 1);
    let nothing = draw(&[LinkFault::Partition.into()]);
    assert!(nothing.replicas.is_empty() && nothing.lagging.is_empty());
}

/// Would catch a fault that loses data and is never drawn, and faults of the server that
/// begin while data is lost.
#[test]
fn data_is_lost_by_every_supported_kind() {
    let kinds: Vec<_> = FaultClass::DataLoss.kinds().collect();
    let mut drawn = BTreeSet::new();
    for seed in 0..100 {
        let knobs = Knobs::draw(seed, &WorldOptions::default());
        let plan = Plan::draw(&knobs, &kinds, Duration::from_secs(5));
        assert!((1..=2).contains(&plan.losses().count()));
        drawn.extend(plan.server.iter().map(|fault| fault.kind));
    }
    let supported = kinds.into_iter().filter(|kind| is_supported(*kind));
    assert!(drawn.into_iter().eq(supported));
}

/// Would catch a reply that passes while data is lost, and a cut after which a command
/// from before it runs.
#[test]
fn nothing_passes_a_closed_link() {
    with_proxy(|link, client, direct, clock| async move {
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        assert_eq!(incr(&mut connection).await.unwrap(), 1);
        link.hold();
        let answer = incr(&mut connection);
        assert!(within(&clock, MOMENT, answer).await.is_none());
        link.open(port(&direct));
        assert_eq!(count(&client).await, count(&direct).await);

        link.begin(fault(CommandFault::LateCommand));
        let before = count(&direct).await;
        let late = incr(&mut connection);
        assert!(within(&clock, MOMENT / 4, late).await.is_none());
        link.cut();
        let connect = client.get_multiplexed_async_connection();
        assert!(
            within(&clock, MOMENT, connect)
                .await
                .is_none_or(|it| it.is_err())
        );
        link.open(port(&direct));
        clock.sleep(MOMENT * 2).await;
        assert_eq!(count(&direct).await, before);
    });
}

/// Would catch a kind of fault that no plan contains, and a plan that does not
/// depend only on its seed.
#[test]
fn a_plan_has_every_kind_and_depends_on_the_seed() {
    let kinds: Vec<_> = FaultKind::all().collect();
    for seed in 0..50 {
        let knobs = Knobs::draw(seed, &WorldOptions::default());
        let draw = || Plan::draw(&knobs, &kinds, Duration::from_secs(60));
        let (plan, again) = (draw(), draw());
        assert_eq!(plan.server, again.server);
        assert_eq!(plan.replicas, again.replicas);
        assert_eq!(plan.lagging, again.lagging);
        assert!(plan.server.is_sorted_by_key(|fault| fault.at));
        assert!(plan.replicas.is_sorted_by_key(|fault| fault.at));
        let drawn = |kind| {
            let one = plan.replicas.iter().chain(&plan.lagging);
            let mut faults = plan.server.iter().chain(one);
            faults.any(|fault| fault.kind == kind)
        };
        for kind in FaultKind::all().filter(|kind| kind.class() != FaultClass::DataLoss) {
            assert_eq!(drawn(kind), is_supported(kind), "{kind:?}");
        }
        assert!(plan.losses().count() <= 2);
        // They do not overlap: the end of one would undo the other.
        let overlap = |pair: &[Fault]| pair[0].at + pair[0].lasts > pair[1].at;
        assert!(!plan.server.windows(2).any(overlap));
        assert!(!plan.lagging.windows(2).any(overlap));
    }
}
