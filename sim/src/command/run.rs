//! `haechi-sim run`: many worlds, one verdict.

use std::{
    fs::{self, File},
    io::{self, Write},
    ops::Range,
    path::PathBuf,
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use clap::Args;
use haechi_store_redis::vault::VaultStats;
use serde_json::{Map, Value, json};

use super::{Exit, WorldArgs, ending::interrupted, progress::Progress, report, within};
use crate::{
    html::{self, Failure, Heading, View},
    plan::WorldOptions,
    record::{RunReport, Verdict},
    runner::{SeedReport, Summary, run_seeds},
    world::{self, Capture},
};

/// Runs worlds, each from a seed, and checks every one
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: the worlds of the seeds 0 to 999, with network faults only
  haechi-sim run --seeds 0..1000 --faults network")]
pub struct RunArgs {
    /// Seeds to run; B is not one of them [default: 0..1500]
    #[arg(long, value_name = "A..B", value_parser = range, conflicts_with = "seed")]
    pub seeds: Option<Range<u64>>,
    /// One seed
    #[arg(long, value_name = "N")]
    pub seed: Option<u64>,
    /// What the worlds are made of
    #[command(flatten)]
    pub world: WorldArgs,
    /// Only every N-th seed, from the I-th on, counted from 1: a part of the
    /// seeds for each of N machines
    #[arg(long, value_name = "I/N", value_parser = shard)]
    pub shard: Option<Shard>,
    /// Stop beginning worlds after so many minutes
    #[arg(long, value_name = "M")]
    pub minutes: Option<u64>,
    /// Worlds at a time [default: one a core]
    #[arg(long, value_name = "J", value_parser = within(1..=1024))]
    pub jobs: Option<usize>,
    /// Run every K-th seed a second time and compare the traces; 0 for none
    #[arg(long, value_name = "K", default_value_t = 3)]
    pub twice: u64,
    /// Print a JSON line for every seed, and the summary as the last one
    #[arg(long)]
    pub json: bool,
    /// Go on after the first seed that fails
    #[arg(long)]
    pub keep_going: bool,
    /// List the situations that were never met, rather than only count them
    #[arg(long)]
    pub verbose: bool,
    /// Write a page with the summary, for a browser: how faults and outcomes met, the seeds
    /// that failed, and the timeline of the first of them
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// The most failing seeds on a page.
const FAILURES: usize = 50;

/// The most failing seeds that are explained at the end.
const EXPLAINED: usize = 3;

/// A part of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// Its index, from 0.
    pub index: u64,
    /// The number of shards.
    pub of: u64,
}

fn shard(text: &str) -> Result<Shard, String> {
    let wrong = || format!("{text:?} is not I/N with I from 1 to N, such as 3/8");
    let (index, of) = text.split_once('/').ok_or_else(wrong)?;
    match (index.parse::<u64>(), of.parse()) {
        (Ok(index), Ok(of)) if (1..=of).contains(&index) => Ok(Shard {
            index: index - 1,
            of,
        }),
        _ => Err(wrong()),
    }
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let wrong = || format!("{text:?} is not A..B with A below B, such as 0..1000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    match (from.parse(), to.parse()) {
        (Ok(from), Ok(to)) if from < to => Ok(from..to),
        _ => Err(wrong()),
    }
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
#[expect(
    clippy::disallowed_methods,
    reason = "wall time is measured around the worlds"
)]
pub fn run(args: &RunArgs) -> io::Result<Exit> {
    let seeds = match (args.seed, &args.seeds) {
        (Some(seed), _) => seed..seed.saturating_add(1),
        (None, Some(seeds)) => seeds.clone(),
        (None, None) => 0..1500,
    };
    let whole = args.shard.unwrap_or(Shard { index: 0, of: 1 });
    let count = (seeds.end - seeds.start + whole.of - 1 - whole.index) / whole.of;
    let budget = args
        .minutes
        .map(|minutes| Duration::from_secs(minutes * 60));
    let options = args.world.options();
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    if let Some(path) = &args.report
        // Before the run, which takes a while.
        && let Err(error) = File::options().append(true).create(true).open(path)
    {
        eprintln!("error: {} cannot be written: {error}", path.display());
        return Ok(Exit::Error);
    }
    let interrupted = interrupted()?;
    let started = Instant::now();
    let mut progress = Progress::new(count, "worlds");
    let mut summary = Summary::default();
    let mut failed = Vec::new();
    let mut written = Ok(());
    let mut stdout = io::stdout().lock();
    run_seeds(
        seeds.skip(whole.index as usize).step_by(whole.of as usize),
        jobs,
        args.twice,
        &options,
        args.world.store,
        |report| {
            summary.add(&report);
            if args.json {
                written = writeln!(stdout, "{}", seed_line(&report));
            }
            let is_ok = report.world.run.is_ok();
            if !is_ok {
                progress.clear();
                eprintln!(
                    "seed {} fails: {}",
                    report.world.run.seed,
                    what_fails(&report.world.run)
                );
                failed.push(report.world.run);
            }
            if summary.seeds.is_multiple_of(20) {
                progress.show(summary.seeds);
            }
            let in_time = budget.is_none_or(|budget| started.elapsed() < budget);
            let goes_on = !interrupted.load(Ordering::Relaxed);
            written.is_ok() && in_time && goes_on && (is_ok || args.keep_going)
        },
    );
    progress.clear();
    written?;
    let wall = started.elapsed();
    if args.json {
        let line = json!({ "summary": summary_value(&summary, &options, wall, jobs) });
        writeln!(stdout, "{line}")?;
    }
    // JSON and text never go to one stream.
    let out: &mut dyn Write = if args.json {
        &mut io::stderr()
    } else {
        &mut stdout
    };
    print_summary(out, &summary, args, wall, jobs)?;
    if let Some(path) = &args.report
        && let Err(error) = fs::write(path, page(args, &summary, wall, &failed))
    {
        eprintln!("error: {} cannot be written: {error}", path.display());
        return Ok(Exit::Error);
    }
    // The default run is large enough to reach every coverage mark.
    let is_default = args.seed.is_none()
        && args.seeds.is_none()
        && whole.of == 1
        && budget.is_none()
        && args.world.is_default();
    let was_interrupted = interrupted.load(Ordering::Relaxed);
    let misses_marks = is_default && !was_interrupted && !summary.unreached(&options).is_empty();
    if misses_marks {
        writeln!(
            out,
            "a run of all default worlds has to meet every situation"
        )?;
    }
    if was_interrupted {
        writeln!(out, "interrupted after {} of {count} worlds", summary.seeds)?;
    }
    // Last, so that they are seen.
    for run in failed.iter().take(EXPLAINED) {
        explain(out, run, &args.world)?;
    }
    out.flush()?;
    Ok(match summary.verdict() {
        Verdict::Ok if misses_marks => Exit::Violation,
        Verdict::Ok if was_interrupted => Exit::Error,
        verdict => verdict.into(),
    })
}

/// The page of a run, with the timeline of the first world that failed.
fn page(args: &RunArgs, summary: &Summary, wall: Duration, failed: &[RunReport]) -> String {
    let (world, options) = (&args.world, args.world.options());
    let failures = failed.iter().take(FAILURES);
    let failures: Vec<_> = failures
        .map(|run| Failure::of(run, commands(run, world).into()))
        .collect();
    let seeds = match (args.seed, &args.seeds) {
        (Some(seed), _) => format!(" --seed {seed}"),
        (None, Some(seeds)) => format!(" --seeds {}..{}", seeds.start, seeds.end),
        (None, None) => String::new(),
    };
    let heading = Heading {
        title: format!("haechi-sim run{seeds}, store {}", world.store),
        command: format!("haechi-sim run{seeds}{}", world.words()),
    };
    let capture = Capture {
        trace: true,
        ..Capture::default()
    };
    let traced = failed.first().map(|run| {
        let name = format!("seed {}, store {}", run.seed, world.store);
        let again = world::run(run.seed, &options, world.store, capture);
        (name, again, run)
    });
    let view = traced
        .as_ref()
        .map(|(name, again, run)| View::of_world(name, again).of_run(run));
    html::summary(&heading, summary, &options, wall, &failures, view)
}

/// One seed as a line of JSON.
fn seed_line(report: &SeedReport) -> Value {
    let (world, run) = (&report.world, &report.world.run);
    let mut line = report::value(run);
    let rest = json!({
        "ops": run.outcomes,
        "vaultOps": run.vault_outcomes,
        "faults": report::faults(&run.faults),
        "conflicts": run.stats.conflicts,
        "retries": run.stats.retries,
        "vault": vault_value(&run.vault_stats),
        "simulatedMs": millis(world.simulated),
        "wallMs": millis(report.wall),
        "traceHash": format!("{:016x}", world.trace_hash),
    });
    line.extend(rest.as_object().cloned().unwrap_or_default());
    line.into()
}

fn summary_value(summary: &Summary, options: &WorldOptions, wall: Duration, jobs: usize) -> Value {
    let unexercised: Vec<_> = summary
        .unexercised(options)
        .iter()
        .map(|kind| kind.name())
        .collect();
    let marks: Map<_, _> = summary
        .marks
        .iter()
        .map(|(mark, count)| (mark.to_string(), json!(count)))
        .collect();
    let unreached = summary.unreached(options);
    let unreached: Vec<_> = unreached.iter().map(ToString::to_string).collect();
    let mut value = json!({
        "verdict": report::verdict(summary.verdict()),
        "seeds": summary.seeds,
        "failedSeeds": summary.failed,
        "detections": summary.detections,
        "operations": summary.operations(),
        "ops": summary.outcomes,
        "vaultOps": summary.vault_outcomes,
        "faults": report::faults(&summary.faults),
        "faultsNotExercised": unexercised,
        "losses": report::losses(&summary.losses, &summary.faults),
        "marks": marks,
        "marksNotReached": unreached,
        "conflicts": summary.conflicts,
        "retries": summary.retries,
        "lostReplies": summary.lost_replies,
        "settledByReading": summary.settled_by_reading,
        "vault": vault_value(&summary.vault_stats),
        "simulatedMs": millis(summary.simulated),
        "wallMs": millis(wall),
        "jobs": jobs,
        "seedsPerCoreSecond": (summary.seeds_per_core_second() * 10.0).round() / 10.0,
    });
    if !summary.harness_errors.is_empty() {
        value["harnessErrorSeeds"] = json!(summary.harness_errors);
    }
    value
}

/// Counters of the token stores.
fn vault_value(stats: &VaultStats) -> Value {
    json!({
        "committed": stats.committed,
        "valueConflicts": stats.value_conflicts,
        "versionConflicts": stats.version_conflicts,
        "held": stats.foreign_locked,
        "retries": stats.retries,
        "lostReplies": stats.lost_replies,
        "settledByReceipt": stats.settled_by_receipt,
        "mostAttempts": stats.most_attempts,
    })
}

/// What fails in a run, in a few words.
fn what_fails(run: &RunReport) -> String {
    let errors = run.harness_errors.len();
    let mut names: Vec<_> = run
        .violations
        .iter()
        .map(|found| found.invariant.name())
        .collect();
    names.dedup();
    match errors {
        0 => names.join(", "),
        _ => "an error of the harness".to_owned(),
    }
}

/// Prints a failing seed: its violations, and how to go on.
fn explain(out: &mut dyn Write, run: &RunReport, world: &WorldArgs) -> io::Result<()> {
    writeln!(out, "seed {} fails:", run.seed)?;
    report::explain(out, run)?;
    for command in commands(run, world) {
        writeln!(out, "{command}")?;
    }
    Ok(())
}

/// How to go on with a seed that fails: to see what happens, and what of it matters.
fn commands(run: &RunReport, world: &WorldArgs) -> [String; 2] {
    let (seed, words) = (run.seed, world.words());
    ["replay", "shrink"].map(|command| format!("haechi-sim {command} --seed {seed}{words}"))
}

/// Prints the summary.
fn print_summary(
    out: &mut dyn Write,
    summary: &Summary,
    args: &RunArgs,
    wall: Duration,
    jobs: usize,
) -> io::Result<()> {
    let options = args.world.options();
    let (all, seconds) = (summary.outcomes, wall.as_secs_f64());
    writeln!(
        out,
        "{} worlds in {seconds:.1} s, {:.0} a second ({:.0} a core, {jobs} at a time)",
        summary.seeds,
        summary.seeds as f64 / seconds.max(1e-9),
        summary.seeds_per_core_second()
    )?;
    writeln!(
        out,
        "{} operations ({} ok, {} fail, {} unknown), {:.1} simulated hours",
        summary.operations(),
        all.ok,
        all.fail,
        all.unknown,
        summary.simulated.as_secs_f64() / 3600.0
    )?;
    let chain = format!(
        "chain: {} conflicts, {} retries, {} lost replies, {} outcomes found by reading back",
        summary.conflicts, summary.retries, summary.lost_replies, summary.settled_by_reading
    );
    report::print_wrapped(out, 0, &chain)?;
    if summary.vault_outcomes.total() > 0 {
        let (vault, ended) = (summary.vault_stats, summary.vault_outcomes);
        let (total, ok, fail, unknown) = (ended.total(), ended.ok, ended.fail, ended.unknown);
        let vault = format!(
            "vault: {total} of the operations ({ok} ok, {fail} fail, {unknown} unknown), {} \
             mutations applied, {} conflicts of values and {} of versions, {} foreign locks met, \
             {} retries, {} lost replies, {} outcomes found by receipts",
            vault.committed,
            vault.value_conflicts,
            vault.version_conflicts,
            vault.foreign_locked,
            vault.retries,
            vault.lost_replies,
            vault.settled_by_receipt
        );
        report::print_wrapped(out, 0, &vault)?;
    }
    // Two columns, so that a summary is not longer than a screen.
    let struck: Vec<String> = summary
        .faults
        .iter()
        .map(|(kind, count)| format!("{kind:<26}{count:>9}"))
        .collect();
    for pair in struck.chunks(2) {
        writeln!(out, "  {}", pair.join("    "))?;
    }
    let unexercised = summary.unexercised(&options);
    let unreached = summary.unreached(&options);
    report::print_losses(out, &summary.losses, &summary.faults)?;
    let (met, never) = (summary.marks.len(), unreached.len());
    let hint = if args.verbose {
        ""
    } else {
        " (--verbose lists them)"
    };
    match (never, unexercised.len()) {
        (0, 0) => writeln!(out, "{met} of {met} situations met")?,
        (_, faults) => writeln!(
            out,
            "{met} of {} situations met; {faults} faults never struck{hint}",
            met + never
        )?,
    }
    if args.verbose {
        let faults = unexercised.iter().map(|kind| kind.name().to_owned());
        for name in faults.chain(unreached.iter().map(ToString::to_string)) {
            writeln!(out, "  never: {name}")?;
        }
    }
    match summary.verdict() {
        Verdict::Ok => writeln!(out, "no violation"),
        Verdict::Violation => {
            writeln!(out, "violations, in {} of the worlds", summary.failed.len())
        }
        Verdict::HarnessError => writeln!(
            out,
            "errors of the harness in {} worlds, violations in {}",
            summary.harness_errors.len(),
            summary.failed.len()
        ),
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
