//! Contention on redis-server: replicas with a connection each, on one thread.

use std::time::{Duration, Instant};

use haechi_store_redis::{clock::SystemClock, entropy::SystemEntropy, redis::LockPolicy};

use crate::{
    Bench,
    table::{self, Attempts},
    workload::{Kind, REPLICAS, policies, policy_name},
};

/// The figures of one cell.
#[derive(Default)]
struct Cell {
    attempts: Vec<u64>,
    in_time: u64,
    gave_up: u64,
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.in_time += other.in_time;
        self.gave_up += other.gave_up;
    }
}

/// Replicas that contend during `window`. Operations begun by then are
/// completed, so that slow ones are in the distribution; the rate counts those
/// committed in time.
async fn contend(
    bench: &Bench,
    kind: Kind,
    policy: LockPolicy,
    replicas: usize,
    window: Duration,
) -> Cell {
    bench.flush().await;
    let mut all = Vec::new();
    for number in 0..replicas {
        let replica = bench.replica(kind, policy, "");
        if number == 0 {
            replica.create().await;
        }
        // Connect and read the head before the measurement.
        replica.operate().await.unwrap();
        all.push(replica);
    }
    let end = Instant::now() + window;
    let contenders: Vec<_> = all
        .into_iter()
        .map(|replica| {
            tokio::spawn(async move {
                let mut met = Cell::default();
                while Instant::now() < end {
                    match replica.operate().await {
                        Some(made) => {
                            met.attempts.push(made);
                            met.in_time += u64::from(Instant::now() <= end);
                        }
                        None => met.gave_up += 1,
                    }
                }
                met
            })
        })
        .collect();
    let mut cell = Cell::default();
    for contender in contenders {
        cell.add(contender.await.unwrap());
    }
    cell
}

pub(crate) type ServerReplica = crate::workload::Replica<redis::Client, SystemClock, SystemEntropy>;

/// Every cell is measured several times, so that a slow moment of the machine
/// does not affect only one of them.
const ROUNDS: u32 = 5;

pub(crate) fn tables(bench: &Bench, window: Duration) {
    for kind in Kind::ALL {
        let cells = REPLICAS.map(|replicas| policies().map(|policy| (replicas, policy)));
        let mut cells: Vec<_> = cells
            .into_iter()
            .flatten()
            .map(|cell| (cell, Cell::default()))
            .collect();
        for _ in 0..ROUNDS {
            for ((replicas, policy), cell) in &mut cells {
                let round = contend(bench, kind, *policy, *replicas, window / ROUNDS);
                cell.add(bench.runtime.block_on(round));
            }
        }
        let alone = cells.first().map_or(0, |(_, cell)| cell.in_time) as f64;
        let rows: Vec<_> = cells
            .into_iter()
            .map(|((replicas, policy), cell)| {
                vec![
                    replicas.to_string(),
                    policy_name(policy).to_owned(),
                    format!("{:.2}", cell.in_time as f64 / alone),
                    Attempts::new(cell.attempts).to_string(),
                    cell.gave_up.to_string(),
                ]
            })
            .collect();
        let per_second = alone / window.as_secs_f64();
        table::print(
            &format!(
                "{}, redis-server: the rate 1 is {per_second:.0} operations a second",
                kind.name()
            ),
            &[
                "replicas",
                "lock",
                "rate",
                "attempts mean/p50/p99/max",
                "given up",
            ],
            &rows,
        );
    }
}
