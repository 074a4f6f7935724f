//! Contention in simulated time: no figure here depends on the machine.
//!
//! Each direction takes 40 to 60 µs, drawn from a fixed seed; a script takes no
//! time. So the rates show the cost of the protocol, not of Lua.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use haechi_store_redis::{
    clock::Clock,
    redis::LockPolicy,
    test_util::{AutoClock, FakeServer, SplitMixEntropy},
};

use crate::{
    executor::Executor,
    simulated::{Counter, Simulated, Traffic, World},
    table::{self, Attempts},
    workload::{Driver, Duel, Kind, REPLICAS, Replica, policies, policy_name},
};

type SimulatedReplica = Replica<FakeServer<Simulated>, AutoClock, SplitMixEntropy>;

/// The figures of one run.
#[derive(Debug, PartialEq)]
struct Figures {
    committed: usize,
    traffic: Traffic,
    attempts: Vec<u64>,
    gave_up: u64,
}

fn replica(
    world: &World,
    counter: &Counter,
    kind: Kind,
    policy: LockPolicy,
    prefix: &str,
) -> (SimulatedReplica, Option<Driver>) {
    let inputs = (world.clock.clone(), world.entropy.clone());
    Replica::new(kind, policy, prefix, world.connect(counter), inputs)
}

/// Replicas that contend during `window`. Operations begun by then are
/// completed, for the distribution of attempts; everything else is counted up
/// to the window's end.
fn contend(kind: Kind, policy: LockPolicy, replicas: usize, window: Duration) -> Figures {
    let (world, counter) = (World::new(), Counter::default());
    let (attempts, gave_up) = (RefCell::new(Vec::new()), Cell::new(0));
    let (is_warm, at_work) = (Cell::new(false), Cell::new(replicas));
    let (all, drivers): (Vec<_>, Vec<_>) = (0..replicas)
        .map(|_| replica(&world, &counter, kind, policy, ""))
        .unzip();
    let mut executor = Executor::new(world.clock.clone());
    drivers
        .into_iter()
        .flatten()
        .for_each(|it| executor.spawn(it));
    // Load scripts and read heads before counting.
    executor.spawn(async {
        all[0].create().await;
        for replica in &all {
            replica.operate().await.unwrap();
        }
        is_warm.set(true);
    });
    executor.run_until(|| is_warm.get());
    *counter.lock().unwrap() = Traffic::default();
    let end = world.clock.now() + window;

    for replica in &all {
        let (world, attempts, gave_up, at_work) = (&world, &attempts, &gave_up, &at_work);
        executor.spawn(async move {
            while world.clock.now() < end {
                match replica.operate().await {
                    Some(made) => attempts.borrow_mut().push(made),
                    None => gave_up.set(gave_up.get() + 1),
                }
            }
            at_work.set(at_work.get() - 1);
        });
    }
    executor.run_until(|| world.clock.now() >= end);
    let (committed, traffic) = (attempts.borrow().len(), *counter.lock().unwrap());
    executor.run_until(|| at_work.get() == 0);
    drop(executor);
    Figures {
        committed,
        traffic,
        attempts: attempts.into_inner(),
        gave_up: gave_up.get(),
    }
}

/// The traffic of one operation, with one conflict or none.
pub(crate) fn single(kind: Kind, conflict: bool) -> Traffic {
    let (world, ours, others) = (World::new(), Counter::default(), Counter::default());
    let mut executor = Executor::new(world.clock.clone());
    let mut start = |counter, prefix| {
        let (replica, driver) = replica(&world, counter, kind, LockPolicy::None, prefix);
        if let Some(driver) = driver {
            executor.spawn(driver);
        }
        replica
    };
    let duel = Duel {
        ours: start(&ours, "one:"),
        rival: start(&others, "one:"),
        elsewhere: start(&others, "other:"),
    };
    let (is_done, traffic) = (Cell::new(false), Cell::new(Traffic::default()));
    let mut executor = executor;
    executor.spawn(async {
        duel.ready().await;
        *ours.lock().unwrap() = Traffic::default();
        duel.operate(conflict).await;
        traffic.set(*ours.lock().unwrap());
        is_done.set(true);
    });
    executor.run_until(|| is_done.get());
    drop(executor);
    traffic.get()
}

/// All tables, each cell run twice.
pub(crate) fn tables(window: Duration) {
    for kind in Kind::ALL {
        let mut rows = Vec::new();
        let mut alone = None;
        for replicas in REPLICAS {
            for policy in policies() {
                let figures = contend(kind, policy, replicas, window);
                let again = contend(kind, policy, replicas, window);
                assert_eq!(figures, again, "two runs of one world differ");
                let committed = figures.committed as f64;
                let alone = *alone.get_or_insert(committed);
                let Traffic {
                    round_trips,
                    scripts,
                    sent,
                    received,
                } = figures.traffic;
                rows.push(vec![
                    replicas.to_string(),
                    policy_name(policy).to_owned(),
                    format!("{:.2}", committed / alone),
                    format!("{:.2}", round_trips as f64 / committed),
                    format!("{:.2}", scripts as f64 / committed),
                    format!("{:.1}", sent as f64 / committed),
                    format!("{:.1}", received as f64 / committed),
                    Attempts::new(figures.attempts).to_string(),
                    figures.gave_up.to_string(),
                ]);
            }
        }
        table::print(
            &format!(
                "{}, simulated for {window:?}: the rate 1 is {} operations; traffic is per \
                 committed operation",
                kind.name(),
                alone.unwrap_or(0.0)
            ),
            &[
                "replicas",
                "lock",
                "rate",
                "round trips",
                "scripts",
                "bytes sent",
                "bytes received",
                "attempts mean/p50/p99/max",
                "given up",
            ],
            &rows,
        );
    }
    println!("Each simulated cell ran twice and gave the same figures.");
}
