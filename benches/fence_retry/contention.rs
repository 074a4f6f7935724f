//! Contention on redis-server: replicas with a connection each, on one thread.

use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

use haechi_store_redis::{clock::SystemClock, entropy::SystemEntropy, redis::LockPolicy};

use crate::{
    Bench,
    contention_plot::{self, Point},
    table::{self, Attempts},
    workload::{Kind, REPLICAS, policies, policy_name},
};

/// The figures of one cell.
#[derive(Default)]
struct Cell {
    attempts: Vec<u64>,
    /// Of those that were committed.
    latencies: Vec<Duration>,
    in_time: u64,
    gave_up: u64,
}

impl Cell {
    fn add(&mut self, other: Self) {
        self.attempts.extend(other.attempts);
        self.latencies.extend(other.latencies);
        self.in_time += other.in_time;
        self.gave_up += other.gave_up;
    }

    /// What 99 of 100 operations take at most, in milliseconds.
    fn p99_ms(&mut self) -> f64 {
        self.latencies.sort_unstable();
        table::quantile(&self.latencies, 990).as_secs_f64() * 1e3
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
                loop {
                    let began = Instant::now();
                    if began >= end {
                        break;
                    }
                    match replica.operate().await {
                        Some(made) => {
                            let now = Instant::now();
                            met.attempts.push(made);
                            met.latencies.push(now - began);
                            met.in_time += u64::from(now <= end);
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

/// Prints the tables, and draws them into a file beside criterion's reports.
pub(crate) fn tables(bench: &Bench, window: Duration) {
    let mut points = Vec::new();
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
            .map(|((replicas, policy), mut cell)| {
                let rate = cell.in_time as f64 / alone;
                points.push(Point {
                    conflict: kind.name(),
                    has_lock: policy != LockPolicy::None,
                    contenders: replicas,
                    rate,
                    p99_ms: cell.p99_ms(),
                });
                vec![
                    replicas.to_string(),
                    policy_name(policy).to_owned(),
                    format!("{rate:.2}"),
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
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("criterion");
    fs::create_dir_all(&folder).unwrap();
    let file = folder.join("contention.svg");
    fs::write(&file, contention_plot::svg(&points)).unwrap();
    println!("Rate and tail latency, drawn: {}", file.display());
}
