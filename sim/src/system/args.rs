//! The command line of a program that tests a system.

use std::{
    fs,
    io::{self, Write},
    ops::Range,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::Parser;

use super::{Harness, Kept, Report, Schedule, Setup, Summary, System, Violation};
use crate::plan::Faults;

/// The most runs of a search for a smaller schedule.
const BUDGET: u64 = 3000;
/// The most failing seeds that are shrunk, where more than this many events are left, and the most
/// seeds that are looked through for each.
const FAILING: usize = 6;
const FEW: usize = 3;
const MORE_SEEDS: u64 = 200;
/// The most lines of a trace that are printed.
const LINES: usize = 60;

/// What to run, from the command line.
#[derive(Parser, Clone, Debug)]
pub struct Args {
    /// Run the seeds A to B - 1, until one fails
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = range)]
    pub seeds: Range<u64>,
    /// Run this seed only
    #[arg(long, value_name = "N", conflicts_with = "seeds")]
    pub seed: Option<u64>,
    /// Keep only these events of the seed, as a shrunk schedule has them; operations at these
    /// times, in milliseconds
    #[arg(
        long,
        value_name = "N[@MS],…",
        value_delimiter = ',',
        requires = "seed"
    )]
    pub keep: Vec<Kept>,
    /// Faults that strike: none, all, or a list of classes (network, replica, redis, data_loss) and
    /// of single faults; those of the system if not given
    #[arg(long, value_name = "none|all|CLASS,…")]
    pub faults: Option<Faults>,
    /// Run all seeds, also after one that fails
    #[arg(long)]
    pub keep_going: bool,
    /// Write a page with the summary of the search, and the timeline of the shrunk run, or of the
    /// last one if none fails
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

fn range(text: &str) -> Result<Range<u64>, String> {
    let parsed = text.split_once("..").and_then(|(from, to)| {
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        (from < to).then_some(from..to)
    });
    parsed.ok_or_else(|| format!("{text:?} is not as 0..1000"))
}

impl Args {
    /// Those of this program; prints the help, or what is wrong, and ends it where they ask for that.
    #[must_use]
    pub fn from_command_line() -> Self {
        Self::parse()
    }

    /// Runs a system, and prints what was found: the first violation; of it or, where that is less, of
    /// another seed that fails, the schedule that is left, what happens in it, and the command that
    /// replays it. Ends with 0 if there is no violation, 1 if
    /// there is one, and 2 if a run could not be judged or the page could not be written.
    pub fn run<S: System>(&self, system: S) -> ExitCode {
        let own = own_words(std::env::args());
        match self.run_to(system, &own, &mut io::stdout().lock()) {
            Ok(code) => ExitCode::from(code),
            Err(error) => {
                eprintln!("error: {error}");
                ExitCode::from(2)
            }
        }
    }

    /// The same, printing to `out`; `command` is the command without the arguments of the harness.
    ///
    /// # Errors
    ///
    /// The output or the page could not be written.
    pub fn run_to<S: System>(
        &self,
        system: S,
        command: &str,
        out: &mut dyn Write,
    ) -> io::Result<u8> {
        let mut harness = Harness::new(system);
        if let Some(Faults(faults)) = &self.faults {
            if !faults.is_empty() && !Setup::supported().any(|kind| faults.contains(&kind)) {
                return Err(io::Error::other(
                    "no system of one's own meets these faults; docs/own-system.md lists those that it does",
                ));
            }
            harness = harness.with_faults(faults.clone());
        }
        let harness = harness;
        if let (Some(seed), false) = (self.seed, self.keep.is_empty()) {
            let schedule = harness.schedule(seed).keep(&self.keep);
            let report = harness.run(&schedule);
            tell(out, &schedule, &report)?;
            self.write_page(out, &report.to_html(command))?;
            return Ok(code(&report));
        }
        let seeds = self.seed.map_or(self.seeds.clone(), |seed| seed..seed + 1);
        let (failing, summary, wall) = first(&harness, seeds.clone(), self.keep_going);
        writeln!(out, "{summary}")?;
        for (seed, error) in &summary.errors {
            writeln!(out, "seed {seed} could not be judged: {error}")?;
        }
        let Some((seed, violation)) = failing else {
            writeln!(out, "no violation")?;
            let report = harness.run(&harness.schedule(seeds.end - 1));
            let page = report.to_html_of_search(command, &summary, wall);
            self.write_page(out, &page)?;
            return Ok(if summary.errors.is_empty() { 0 } else { 2 });
        };
        if self.keep_going {
            for (name, found) in &summary.detections {
                writeln!(
                    out,
                    "{name}: {} of the runs, first seed {}",
                    found.worlds, found.first_seed
                )?;
            }
        }
        writeln!(out, "\nseed {seed} fails: {violation}")?;
        let mut best = harness.shrink(&harness.schedule(seed), &violation.name, BUDGET);
        let mut next = seed + 1;
        for _ in 1..FAILING {
            if best.schedule.events.len() <= FEW {
                break;
            }
            let more = next..seeds.end.min(next + MORE_SEEDS);
            let (Some((seed, violation)), ..) = first(&harness, more, false) else {
                break;
            };
            let other = harness.shrink(&harness.schedule(seed), &violation.name, BUDGET);
            if other.schedule.events.len() < best.schedule.events.len() {
                best = other;
            }
            next = seed + 1;
        }
        let schedule = best.schedule;
        let seed = schedule.seed;
        let whole = harness.schedule(seed).events.len();
        writeln!(
            out,
            "\nthe smallest schedule that still fails: {} of the {whole} events of seed {seed} ({} runs)",
            schedule.events.len(),
            best.runs
        )?;
        let report = harness.run(&schedule);
        tell(out, &schedule, &report)?;
        let kept: Vec<_> = schedule.kept().iter().map(Kept::to_string).collect();
        // A seed draws other events under other faults.
        let faults = match &self.faults {
            None => String::new(),
            Some(faults) => format!(" --faults {faults}"),
        };
        let replay = format!("{command}{faults} --seed {seed} --keep {}", kept.join(","));
        let page = report.to_html_of_search(&replay, &summary, wall);
        self.write_page(out, &page)?;
        writeln!(out, "to replay it: {replay}")?;
        Ok(1)
    }

    fn write_page(&self, out: &mut dyn Write, page: &str) -> io::Result<()> {
        let Some(path) = &self.report else {
            return Ok(());
        };
        fs::write(path, page)?;
        writeln!(out, "its timeline: {}", path.display())
    }
}

/// The first of these seeds that fails; the sum of the runs, of those up to it unless it keeps
/// going; and how long they took.
#[expect(
    clippy::disallowed_methods,
    reason = "wall time is measured around the runs, never inside"
)]
fn first<S: System>(
    harness: &Harness<S>,
    seeds: Range<u64>,
    keeps_going: bool,
) -> (Option<(u64, Violation)>, Summary, Duration) {
    let started = Instant::now();
    let mut failing = None;
    let summary = harness.search(seeds, |report| {
        let found = report.violations.first();
        let found = found.map(|found| (report.seed, found.clone()));
        failing = failing.take().or(found);
        keeps_going || failing.is_none()
    });
    (failing, summary, started.elapsed())
}

fn code<S: System>(report: &Report<S>) -> u8 {
    match (report.violations.is_empty(), &report.error) {
        (false, _) => 1,
        (true, Some(_)) => 2,
        (true, None) => 0,
    }
}

/// A schedule, what happens in it, and what is wrong with that.
fn tell<S: System>(
    out: &mut dyn Write,
    schedule: &Schedule<S::Operation>,
    report: &Report<S>,
) -> io::Result<()> {
    writeln!(out, "{schedule}\n\nwhat happens (ms):")?;
    for line in report.trace.iter().take(LINES) {
        writeln!(out, "{line}")?;
    }
    if let Some(more) = report.trace.len().checked_sub(LINES + 1) {
        writeln!(out, "… and {} lines more", more + 1)?;
    }
    writeln!(out)?;
    for violation in &report.violations {
        writeln!(out, "{violation}")?;
        for call in &report.run.calls {
            if violation.calls.contains(&call.id) {
                writeln!(out, "  {call}")?;
            }
        }
    }
    if let Some(error) = &report.error {
        writeln!(out, "it could not be judged: {error}")?;
    }
    if code(report) == 0 {
        writeln!(out, "no violation")?;
    }
    Ok(())
}

/// The command without the arguments of the harness.
fn own_words(words: impl Iterator<Item = String>) -> String {
    let mut own = Vec::new();
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let name = word.split('=').next().unwrap_or_default();
        if [
            "--seed",
            "--seeds",
            "--keep",
            "--report",
            "--faults",
            "--keep-going",
        ]
        .contains(&name)
        {
            if name == word && name != "--keep-going" {
                words.next();
            }
            continue;
        }
        own.push(word);
    }
    let program = own.first().cloned().unwrap_or_default();
    let path = Path::new(&program);
    // Set where cargo runs it.
    if let (Ok(package), Some(name)) = (std::env::var("CARGO_PKG_NAME"), path.file_name()) {
        let folder = path.parent();
        let kind = match folder.is_some_and(|folder| folder.ends_with("examples")) {
            true => "example",
            false => "bin",
        };
        let name = name.to_string_lossy();
        own[0] = format!("cargo run --release -p {package} --{kind} {name} --");
    }
    own.join(" ")
}
