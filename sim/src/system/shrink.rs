//! The smallest schedule that still fails.

use super::{Event, Harness, Random, Schedule, System, setup::millis};
use crate::{plan::generator, shrink::minimize};

/// How often an event is left out while others move, before the rest counts as minimal.
const TRIES: u64 = 300;

/// What is left of a schedule.
#[derive(Clone, Debug)]
pub struct Shrunk<O> {
    /// What is left: no single event can be left out.
    pub schedule: Schedule<O>,
    /// How many runs it took.
    pub runs: u64,
    /// Whether the budget was used up before that was shown.
    pub is_exhausted: bool,
}

/// A search for a smaller schedule.
pub(super) struct Shrink<'a, S> {
    harness: &'a Harness<S>,
    violation: &'a str,
    budget: u64,
    runs: u64,
}

impl<'a, S: System> Shrink<'a, S> {
    pub(super) fn new(harness: &'a Harness<S>, violation: &'a str, budget: u64) -> Self {
        Self {
            harness,
            violation,
            budget,
            runs: 0,
        }
    }

    pub(super) fn run(mut self, schedule: Schedule<S::Operation>) -> Shrunk<S::Operation> {
        let mut best = schedule;
        let mut random = Random::new(generator(best.seed, "shrink"));
        loop {
            let before = best.events.len();
            best = self.fix_times(best);
            best = self.leave_out(best, true);
            best = self.leave_out(best, false);
            if best.events.len() < before {
                continue;
            }
            match self.leave_out_and_move(&best, &mut random) {
                Some(smaller) => best = smaller,
                None => break,
            }
        }
        Shrunk {
            schedule: best,
            runs: self.runs,
            is_exhausted: self.runs >= self.budget,
        }
    }

    fn fails(&mut self, candidate: &Schedule<S::Operation>) -> bool {
        if self.runs >= self.budget {
            return false;
        }
        self.runs += 1;
        let found = self.harness.run(candidate).violations;
        found.iter().any(|found| found.name == self.violation)
    }

    /// Each operation begins when it did, so that it does not begin earlier where the one before it
    /// is left out.
    fn fix_times(&mut self, best: Schedule<S::Operation>) -> Schedule<S::Operation> {
        let calls = self.harness.run(&best).run.calls;
        self.runs += 1;
        let began = |number| calls.iter().find(|call| call.id == number);
        let events = best.events.iter().cloned().filter_map(|mut event| {
            if !event.is_fault() {
                *event.at_mut() = millis(began(event.number)?.began);
            }
            Some(event)
        });
        let fixed = best.with(events.collect());
        match self.fails(&fixed) {
            true => fixed,
            false => best,
        }
    }

    /// Leaves out faults, or operations.
    fn leave_out(&mut self, best: Schedule<S::Operation>, faults: bool) -> Schedule<S::Operation> {
        let events = best.events.iter().cloned();
        let (part, rest): (Vec<_>, Vec<_>) = events.partition(|event| event.is_fault() == faults);
        let with = |part: &[Event<S::Operation>]| best.with([part, &rest].concat());
        let left = minimize(part, |part| self.fails(&with(part)));
        with(&left)
    }

    /// Leaves one event out, and moves some of the others: those that waited for it come too early
    /// without it.
    fn leave_out_and_move(
        &mut self,
        best: &Schedule<S::Operation>,
        random: &mut Random,
    ) -> Option<Schedule<S::Operation>> {
        for _ in 0..TRIES {
            let mut events = best.events.clone();
            if events.is_empty() {
                break;
            }
            events.remove(usize::try_from(random.below(events.len() as u64)).ok()?);
            let most = [40, 200, 800][random.below(3) as usize];
            for event in &mut events {
                if random.one_in(2) {
                    let at = event.at_mut();
                    *at = (*at + random.below(2 * most)).saturating_sub(most);
                }
            }
            let candidate = best.with(events);
            if self.fails(&candidate) {
                return Some(candidate);
            }
        }
        None
    }
}
