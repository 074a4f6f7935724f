//! Reduces a failing schedule to the fewest faults, operations and processes
//! that still violate the same invariant, whatever else changes.
//!
//! The same schedule and budget give the same result.

mod cuts;
mod ddmin;

pub(crate) use ddmin::minimize;

use crate::{
    mutants::Variant,
    plan::Schedule,
    world::{self, Capture, WorldReport},
};
use haechi_history::check::Invariant;

/// A search for a smaller schedule.
pub struct Shrink<'a> {
    variant: Variant,
    invariant: Invariant,
    /// The smallest that fails so far.
    best: Schedule,
    budget: u64,
    runs: u64,
    /// Called after every step.
    on_step: &'a mut dyn FnMut(&str, &Schedule, u64),
}

/// The result of a search.
#[derive(Debug)]
pub struct Shrunk {
    /// The smallest schedule found.
    pub schedule: Schedule,
    /// The number of worlds run.
    pub runs: u64,
    /// Whether the budget ran out before the schedule was shown to be minimal.
    pub is_exhausted: bool,
}

/// Shrinks a schedule under which `variant` violates `invariant`; in at most
/// `budget` worlds.
pub fn shrink(
    schedule: Schedule,
    variant: Variant,
    invariant: Invariant,
    budget: u64,
    on_step: &mut dyn FnMut(&str, &Schedule, u64),
) -> Shrunk {
    let mut search = Shrink {
        variant,
        invariant,
        best: schedule,
        budget,
        runs: 0,
        on_step,
    };
    search.run();
    Shrunk {
        schedule: search.best,
        runs: search.runs,
        is_exhausted: search.runs >= budget,
    }
}

impl Shrink<'_> {
    fn run(&mut self) {
        loop {
            let before = self.size();
            self.step("end", Self::leave_out_the_end);
            self.step("knobs", Self::simplify_knobs);
            self.step("times", Self::fix_times);
            self.step("strikes", Self::spell_out_strikes);
            self.step("faults", Self::leave_out_faults);
            self.step("operations", Self::leave_out_operations);
            self.step("processes", Self::leave_out_processes);
            self.step("durations", Self::shorten);
            if self.size() >= before || self.runs >= self.budget {
                break;
            }
        }
    }

    fn step(&mut self, name: &str, step: impl Fn(&mut Self)) {
        step(self);
        (self.on_step)(name, &self.best, self.runs);
    }

    /// A round that does not reduce this is the last.
    fn size(&self) -> (usize, usize) {
        (self.best.events(), self.best.knobs.processes())
    }

    /// Adopts a candidate if it fails.
    fn offer(&mut self, candidate: Schedule) -> bool {
        let fails = self.fails(&candidate);
        if fails {
            self.best = candidate;
        }
        fails
    }

    fn fails(&mut self, candidate: &Schedule) -> bool {
        self.world(candidate)
            .is_some_and(|report| violates(&report, self.invariant))
    }

    /// Runs a candidate, unless the budget is used up.
    fn world(&mut self, candidate: &Schedule) -> Option<WorldReport> {
        if self.runs >= self.budget {
            return None;
        }
        self.runs += 1;
        Some(world::carry_out(
            candidate,
            self.variant,
            Capture::default(),
        ))
    }
}

/// Whether a world shows a violation of this kind.
#[must_use]
pub fn violates(report: &WorldReport, invariant: Invariant) -> bool {
    let mut violations = report.run.violations.iter();
    violations.any(|violation| violation.invariant == invariant)
}
