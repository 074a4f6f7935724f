//! The cost of one conflict: operations with one and without, measured
//! alternately.

use std::{cell::RefCell, time::Duration};

use criterion::Criterion;
use haechi_store_redis::redis::LockPolicy;

use crate::{
    Bench,
    contention::ServerReplica,
    exact,
    simulated::Traffic,
    table,
    workload::{Duel, Kind},
};

/// Seconds per operation without and with a conflict, in one sample.
type Pair = (f64, f64);

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Operations without and with a conflict, alternately, so that other load
/// affects both alike; returns the total time of each.
async fn in_turns(bench: &Bench, kind: Kind, iterations: u64) -> (Duration, Duration) {
    bench.flush().await;
    let start = |prefix| -> ServerReplica { bench.replica(kind, LockPolicy::None, prefix) };
    let duel = Duel {
        ours: start("one:"),
        rival: start("one:"),
        elsewhere: start("other:"),
    };
    duel.ready().await;
    let (mut calm, mut conflict) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..iterations {
        calm += duel.operate(false).await;
        conflict += duel.operate(true).await;
    }
    (calm, conflict)
}

pub(crate) fn measure(criterion: &mut Criterion, bench: &Bench) {
    let mut rows = Vec::new();
    for kind in Kind::ALL {
        let pairs = RefCell::new(Vec::<Pair>::new());
        let sample = |iterations| {
            let turns = in_turns(bench, kind, iterations);
            let (calm, conflict) = bench.runtime.block_on(turns);
            let each = |all: Duration| all.as_secs_f64() / iterations as f64;
            pairs.borrow_mut().push((each(calm), each(conflict)));
            (calm, conflict)
        };
        let mut group = criterion.benchmark_group(kind.name());
        group.bench_function("no conflict", |bencher| {
            bencher.iter_custom(|iterations| sample(iterations).0);
        });
        group.bench_function("one conflict", |bencher| {
            bencher.iter_custom(|iterations| sample(iterations).1);
        });
        group.finish();
        let pairs = pairs.into_inner();
        // Excluded by a filter on the command line.
        if pairs.is_empty() {
            continue;
        }
        let calm = median(pairs.iter().map(|pair| pair.0).collect());
        let ratio = median(pairs.iter().map(|pair| pair.1 / pair.0).collect());
        let (without, with) = (exact::single(kind, false), exact::single(kind, true));
        let both = |of: fn(&Traffic) -> u64| format!("{} → {}", of(&without), of(&with));
        rows.push(vec![
            kind.name().to_owned(),
            format!("{:.0} µs", calm * 1e6),
            format!("× {ratio:.2}"),
            both(|traffic| traffic.round_trips),
            both(|traffic| traffic.sent),
            both(|traffic| traffic.received),
        ]);
    }
    table::print(
        "One conflict, redis-server: none → one",
        &[
            "conflict",
            "without",
            "with",
            "round trips",
            "bytes sent",
            "bytes received",
        ],
        &rows,
    );
}
