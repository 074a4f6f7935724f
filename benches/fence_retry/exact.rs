//! Contention in simulated time: no figure here depends on the machine.
//!
//! Each way to the server and back takes 40 to 60 µs, drawn from a fixed seed;
//! a script takes no time. So the rates tell what the protocol costs, not what
//! Lua does.

use std::{
    cell::{Cell, RefCell},
    time::Duration,
};

use haechi_store_redis::{clock::Clock, redis::LockPolicy};

use crate::{
    simulated::{Counter, Simulated, Traffic, World},
    table::{self, Attempts},
    virtual_time::{Executor, Seeded, VirtualClock},
    workload::{Driver, Duel, Kind, POLICIES, REPLICAS, Replica, policy_name},
};

type SimulatedReplica = Replica<Simulated, VirtualClock, Seeded>;

/// What one run came to.
#[derive(Clone, Debug, PartialEq)]
struct Figures {
    attempts: Vec<u64>,
    gave_up: u64,
    traffic: Traffic,
    took: Duration,
}

fn replica(
    world: &World,
    counter: &Counter,
    kind: Kind,
    policy: LockPolicy,
    prefix: &str,
) -> (SimulatedReplica, Option<Driver>) {
    let time_and_chance = (world.clock.clone(), world.chance.clone());
    Replica::new(
        kind,
        policy,
        prefix,
        world.connect(counter),
        time_and_chance,
    )
}

/// Replicas that contend until `commits` operations have been committed. It
/// ends there, so that the last ones do not run in peace.
fn contend(kind: Kind, policy: LockPolicy, replicas: usize, commits: usize) -> Figures {
    let (world, counter) = (World::new(), Counter::default());
    let mut executor = Executor::new(world.clock.clone());
    let mut all = Vec::new();
    for _ in 0..replicas {
        let (replica, driver) = replica(&world, &counter, kind, policy, "");
        all.push(replica);
        if let Some(driver) = driver {
            executor.spawn(driver);
        }
    }
    let all = all;
    let is_warm = Cell::new(false);
    let (attempts, gave_up) = (RefCell::new(Vec::new()), Cell::new(0));
    let mut executor = executor;
    // Scripts are loaded and heads are known before anything is counted.
    executor.spawn(async {
        all[0].found().await;
        for replica in &all {
            replica.operate().await.unwrap();
        }
        is_warm.set(true);
    });
    executor.run_until(|| is_warm.get());
    let began = world.clock.now();
    *counter.lock().unwrap() = Traffic::default();

    for replica in &all {
        let (attempts, gave_up) = (&attempts, &gave_up);
        executor.spawn(async move {
            loop {
                match replica.operate().await {
                    Some(made) => attempts.borrow_mut().push(made),
                    None => gave_up.set(gave_up.get() + 1),
                }
            }
        });
    }
    executor.run_until(|| attempts.borrow().len() >= commits);
    drop(executor);
    Figures {
        attempts: attempts.into_inner(),
        gave_up: gave_up.get(),
        traffic: *counter.lock().unwrap(),
        took: world.clock.now() - began,
    }
}

/// What one operation exchanges with Redis that meets one conflict, or none.
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

/// All of it, each cell run twice.
pub(crate) fn tables(commits: usize) {
    for kind in Kind::ALL {
        let mut rows = Vec::new();
        let mut alone = None;
        for replicas in REPLICAS {
            for policy in POLICIES {
                let figures = contend(kind, policy, replicas, commits);
                let again = contend(kind, policy, replicas, commits);
                assert_eq!(figures, again, "two runs of one world differ");
                let alone = *alone.get_or_insert(figures.took);
                let each = |count: u64| format!("{:.2}", count as f64 / commits as f64);
                let Traffic {
                    round_trips,
                    scripts,
                    sent,
                    received,
                } = figures.traffic;
                rows.push(vec![
                    replicas.to_string(),
                    policy_name(policy).to_owned(),
                    each(round_trips),
                    each(scripts),
                    each(sent),
                    each(received),
                    Attempts::new(figures.attempts).to_string(),
                    figures.gave_up.to_string(),
                    format!("{:.2}", alone.as_secs_f64() / figures.took.as_secs_f64()),
                ]);
            }
        }
        table::print(
            &format!(
                "{}, simulated: per committed operation, over {commits} of them",
                kind.name()
            ),
            &[
                "replicas",
                "lock",
                "round trips",
                "scripts",
                "bytes sent",
                "bytes received",
                "attempts mean/p50/p99/max",
                "given up",
                "rate",
            ],
            &rows,
        );
    }
}
