//! Runs many worlds, several at a time, and adds up their reports.
//!
//! Threads and wall time are used only here, outside of worlds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::mpsc,
    time::{Duration, Instant},
};

use haechi_store_redis::vault::VaultStats;
use parking_lot::Mutex;

use crate::{
    mutants::Variant,
    plan::{FaultKind, WorldOptions},
    record::{Detection, Losses, Mark, Marks, Outcomes, Verdict, violation},
    world::{self, Capture, WorldReport},
};
use haechi_history::check::Invariant;

/// A world's report, and how long it took to run.
#[derive(Debug)]
pub struct SeedReport {
    /// The world's report.
    pub world: WorldReport,
    /// Wall time.
    pub wall: Duration,
}

/// Runs one seed.
#[must_use]
#[expect(
    clippy::disallowed_methods,
    reason = "wall time is measured around a world, never inside"
)]
pub fn run_seed(seed: u64, options: &WorldOptions, variant: Variant) -> SeedReport {
    let started = Instant::now();
    let world = world::run(seed, options, variant, Capture::default());
    SeedReport {
        world,
        wall: started.elapsed(),
    }
}

/// Runs a seed again, and reports [`Nondeterminism`](Invariant::Nondeterminism)
/// if its trace differs.
pub fn recheck(report: &mut SeedReport, options: &WorldOptions, variant: Variant) {
    let run = |capture| world::run(report.world.run.seed, options, variant, capture);
    let again = run(Capture::default());
    if again.trace_hash == report.world.trace_hash {
        return;
    }
    let kept = Capture {
        trace: true,
        ..Capture::default()
    };
    let [one, other] = [(); 2].map(|()| run(kept).trace);
    let differs = one.iter().zip(&other).position(|(one, other)| one != other);
    let number = differs.unwrap_or(one.len().min(other.len()));
    let event = |trace: &[String]| {
        trace
            .get(number)
            .map_or("the end", |event| event)
            .to_owned()
    };
    let reason = format!(
        "two runs of the seed differ, at event {number} for the first time: {} / {}",
        event(&one),
        event(&other)
    );
    let violation = violation(Invariant::Nondeterminism, reason);
    report.world.run.violations.push(violation);
}

/// Runs seeds on `jobs` threads and passes the reports to `each` in the order
/// of the seeds, until it returns `false`.
///
/// Every `twice`th seed is [checked again](recheck); 0 for none. At most a few
/// reports per thread are buffered.
pub fn run_seeds(
    seeds: impl Iterator<Item = u64> + Send,
    jobs: usize,
    twice: u64,
    options: &WorldOptions,
    variant: Variant,
    mut each: impl FnMut(SeedReport) -> bool,
) {
    let jobs = jobs.max(1);
    // Numbered, to restore the order of the reports.
    let next = Mutex::new(Some(seeds.enumerate()));
    let (sender, receiver) = mpsc::sync_channel(jobs * 4);
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let drawn = next.lock().as_mut().and_then(Iterator::next);
                    let Some((number, seed)) = drawn else { return };
                    let mut report = run_seed(seed, options, variant);
                    if twice > 0 && seed.is_multiple_of(twice) {
                        recheck(&mut report, options, variant);
                    }
                    if sender.send((number, report)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(sender);
        let mut early = BTreeMap::new();
        let mut expected = 0;
        'reports: for (number, report) in receiver {
            early.insert(number, report);
            while let Some(report) = early.remove(&expected) {
                expected += 1;
                if !each(report) {
                    *next.lock() = None;
                    break 'reports;
                }
            }
        }
    });
}

/// The sum of many worlds.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Worlds.
    pub seeds: u64,
    /// Worlds with a violation.
    pub failed: Vec<u64>,
    /// The invariants that did not hold.
    pub detections: BTreeMap<Invariant, Detection>,
    /// Worlds with a harness error.
    pub harness_errors: Vec<u64>,
    /// The outcomes of all operations.
    pub outcomes: Outcomes,
    /// The outcomes of the vault's operations.
    pub vault_outcomes: Outcomes,
    /// The sum of the token stores' counters.
    pub vault_stats: VaultStats,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// What processes did that had seen what a fault took.
    pub losses: Losses,
    /// How often each coverage mark was reached.
    pub marks: Marks,
    /// Conflicts of all sinks.
    pub conflicts: u64,
    /// Attempts repeated after a failure.
    pub retries: u64,
    /// Replies that never came.
    pub lost_replies: u64,
    /// Batches whose outcome was read from the chain.
    pub settled_by_reading: u64,
    /// Simulated time, all worlds together.
    pub simulated: Duration,
    /// Time that threads spent in worlds, all together.
    pub busy: Duration,
}

impl Summary {
    /// Adds a world.
    pub fn add(&mut self, report: &SeedReport) {
        let (world, run) = (&report.world, &report.world.run);
        self.seeds += 1;
        match run.verdict() {
            Verdict::Ok => {}
            Verdict::Violation => self.failed.push(run.seed),
            Verdict::HarnessError => self.harness_errors.push(run.seed),
        }
        let broken: BTreeSet<_> = run.violations.iter().map(|it| it.invariant).collect();
        for invariant in broken {
            Detection::count(&mut self.detections, invariant, run.seed, self.seeds);
        }
        self.outcomes.add(run.outcomes);
        self.vault_outcomes.add(run.vault_outcomes);
        self.vault_stats.add(run.vault_stats);
        for (kind, count) in &run.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (fault, account) in &run.losses {
            self.losses.entry(fault.clone()).or_default().add(*account);
        }
        for (mark, count) in &world.marks {
            *self.marks.entry(*mark).or_default() += count;
        }
        self.conflicts += run.stats.conflicts;
        self.retries += run.stats.retries;
        self.lost_replies += run.stats.lost_replies;
        self.settled_by_reading += run.stats.settled_by_reading;
        self.simulated += world.simulated;
        self.busy += report.wall;
    }

    /// All operations.
    #[must_use]
    pub fn operations(&self) -> u64 {
        self.outcomes.total()
    }

    /// The faults of the given options that never struck.
    #[must_use]
    pub fn unexercised(&self, options: &WorldOptions) -> Vec<FaultKind> {
        FaultKind::all()
            .filter(|kind| options.has(*kind))
            .filter(|kind| options.workload.has_chain() || !kind.strikes_anchors())
            .filter(|kind| !self.faults.contains_key(kind))
            .collect()
    }

    /// The coverage marks that were not reached, of those that a long run with
    /// the given options reaches.
    #[must_use]
    pub fn unreached(&self, options: &WorldOptions) -> Vec<Mark> {
        Mark::all()
            .filter(|mark| mark.is_reachable(options))
            .filter(|mark| !self.marks.contains_key(mark))
            .collect()
    }

    /// The verdict on all worlds.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        match (self.harness_errors.is_empty(), self.failed.is_empty()) {
            (false, _) => Verdict::HarnessError,
            (true, false) => Verdict::Violation,
            (true, true) => Verdict::Ok,
        }
    }

    /// Worlds per second and thread.
    #[must_use]
    pub fn seeds_per_core_second(&self) -> f64 {
        self.seeds as f64 / self.busy.as_secs_f64().max(1e-9)
    }
}
