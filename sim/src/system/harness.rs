//! Runs of a system: one, many, and the smallest that still fails.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    rc::Rc,
    time::Duration,
};

use super::{
    Run, Schedule, Setup, Shrunk, System, Violation, nemesis::Span, shrink::Shrink, world,
};
use crate::{
    plan::{Fault, FaultKind},
    record::{Detection, Outcomes},
};

/// Every so many seeds run twice.
const TWICE: u64 = 10;

/// A system, to be run.
#[derive(Debug)]
pub struct Harness<S> {
    system: Rc<S>,
    setup: Setup,
}

/// What one run has shown.
#[derive(Debug)]
pub struct Report<S: System> {
    /// The seed.
    pub seed: u64,
    /// What must not be: by [`System::check`]; and `no_progress`, `panicked` and `nondeterminism`.
    pub violations: Vec<Violation>,
    /// Why it could not be judged, if it could not. Not a violation of the system.
    pub error: Option<String>,
    /// The situations that were met, and how often: those of [`Process::mark`](super::Process::mark),
    /// and for each fault, as `pause_then_unknown`, the calls in which it struck, by how they ended.
    pub marks: BTreeMap<String, u64>,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// Simulated time.
    pub simulated: Duration,
    /// A hash of everything that happened, in order: one seed, one hash.
    pub trace_hash: u64,
    /// Everything that happened: the time in milliseconds, and what.
    pub trace: Vec<String>,
    /// The calls, and the data at the end.
    pub run: Run<S>,
    pub(super) spans: Vec<Span>,
    pub(super) strikes: Vec<Fault>,
}

/// The sum of many runs.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// Runs.
    pub runs: u64,
    /// The seeds with a violation.
    pub failed: Vec<u64>,
    /// The violations by their names.
    pub detections: BTreeMap<String, Detection>,
    /// The seeds that could not be judged, each with the reason.
    pub errors: Vec<(u64, String)>,
    /// The calls by how they ended; those that never did count as unknown.
    pub outcomes: Outcomes,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The situations that were met, and how often.
    pub marks: BTreeMap<String, u64>,
    /// The faults that may strike, and never did.
    pub never: Vec<FaultKind>,
    /// Simulated time, all runs together.
    pub simulated: Duration,
}

impl<S: System> Harness<S> {
    /// A harness for this system.
    #[must_use]
    pub fn new(system: S) -> Self {
        Self {
            setup: system.setup(),
            system: Rc::new(system),
        }
    }

    /// The same, with these faults in place of those of [`System::setup`].
    #[must_use]
    pub fn with_faults(mut self, faults: Vec<FaultKind>) -> Self {
        self.setup.faults = faults;
        self
    }

    /// What the run of a seed does.
    #[must_use]
    pub fn schedule(&self, seed: u64) -> Schedule<S::Operation> {
        Schedule::draw(&*self.system, &self.setup, seed)
    }

    /// Runs a schedule. The same schedule gives the same report.
    #[must_use]
    pub fn run(&self, schedule: &Schedule<S::Operation>) -> Report<S> {
        world::carry_out(&self.system, &self.setup, schedule)
    }

    /// Runs the schedules of these seeds, every tenth twice, and passes each report to `each`, until
    /// it returns `false`.
    pub fn search(
        &self,
        seeds: impl IntoIterator<Item = u64>,
        mut each: impl FnMut(&Report<S>) -> bool,
    ) -> Summary {
        let mut summary = Summary::default();
        for seed in seeds {
            let schedule = self.schedule(seed);
            let mut report = self.run(&schedule);
            if seed % TWICE == 0 {
                report
                    .violations
                    .extend(self.difference(&schedule, &report));
            }
            summary.add(&report);
            if !each(&report) {
                break;
            }
        }
        let kinds = self.setup.kinds().into_iter();
        summary.never = kinds
            .filter(|kind| !summary.faults.contains_key(kind))
            .collect();
        summary
    }

    /// A violation if another run of the schedule differs.
    fn difference(
        &self,
        schedule: &Schedule<S::Operation>,
        report: &Report<S>,
    ) -> Option<Violation> {
        let again = self.run(schedule);
        let (one, other) = (&report.trace, &again.trace);
        let differs = |number: &usize| one.get(*number) != other.get(*number);
        let number = (0..one.len().max(other.len())).find(differs)?;
        let line = |trace: &[String]| trace.get(number).map_or("the end".into(), Clone::clone);
        let reason = format!(
            "two runs of the seed differ, first in line {}: {} / {}",
            number + 1,
            line(one),
            line(other)
        );
        Some(Violation::new("nondeterminism", Vec::new(), reason))
    }

    /// Leaves out faults and operations for as long as a violation of this name is left, in at most
    /// `budget` runs. The same schedule and budget give the same result.
    #[must_use]
    pub fn shrink(
        &self,
        schedule: &Schedule<S::Operation>,
        violation: &str,
        budget: u64,
    ) -> Shrunk<S::Operation> {
        Shrink::new(self, violation, budget).run(schedule.clone())
    }
}

impl Summary {
    /// The situations of the system, without those of a fault and a call's end.
    pub(super) fn own_marks(&self) -> impl Iterator<Item = (&String, &u64)> {
        self.marks.iter().filter(|(mark, _)| !is_during(mark))
    }

    fn add<S: System>(&mut self, report: &Report<S>) {
        self.runs += 1;
        if !report.violations.is_empty() {
            self.failed.push(report.seed);
        }
        let broken: BTreeSet<_> = report.violations.iter().map(|it| &it.name).collect();
        for name in broken {
            Detection::count(&mut self.detections, name.clone(), report.seed, self.runs);
        }
        let errors = report.error.iter();
        self.errors
            .extend(errors.map(|error| (report.seed, error.clone())));
        for call in &report.run.calls {
            match (call.answer(), call.may_be_applied()) {
                (Some(_), _) => self.outcomes.ok += 1,
                (None, false) => self.outcomes.fail += 1,
                (None, true) => self.outcomes.unknown += 1,
            }
        }
        for (kind, count) in &report.faults {
            *self.faults.entry(*kind).or_default() += count;
        }
        for (mark, count) in &report.marks {
            *self.marks.entry(mark.clone()).or_default() += count;
        }
        self.simulated += report.simulated;
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcomes { ok, fail, unknown } = self.outcomes;
        writeln!(
            f,
            "{} runs, {} calls ({ok} ok, {fail} not applied, {unknown} unknown), {} simulated seconds",
            self.runs,
            self.outcomes.total(),
            self.simulated.as_secs()
        )?;
        let faults = self.faults.iter();
        let faults: Vec<_> = faults.map(|(kind, n)| format!("{kind} {n}")).collect();
        writeln!(f, "faults that struck: {}", list(&faults))?;
        let never: Vec<_> = self.never.iter().map(ToString::to_string).collect();
        writeln!(f, "faults that did not: {}", list(&never))?;
        let own: Vec<_> = self
            .own_marks()
            .map(|(mark, n)| format!("{mark} {n}"))
            .collect();
        let during = self.marks.len() - own.len();
        write!(
            f,
            "situations: {}; {during} pairs of a fault and how a call ended in which it struck",
            list(&own)
        )
    }
}

/// Whether a mark is a fault and how the call ended in which it struck.
fn is_during(mark: &str) -> bool {
    let kind = mark.rsplit_once("_then_").map(|(kind, _)| kind.to_owned());
    kind.is_some_and(|kind| FaultKind::try_from(kind).is_ok())
}

fn list(words: &[String]) -> String {
    match words {
        [] => "none".to_owned(),
        words => words.join(", "),
    }
}
