//! The parts of a schedule that can be cut, one kind after the other.

use super::{Shrink, ddmin::minimize};
use crate::plan::{Fault, Operation, Schedule};
use haechi_history::check::Invariant;

impl Shrink<'_> {
    /// Leaves out the proof of progress at the end of a run, whose operations
    /// are in no schedule.
    pub(super) fn leave_out_the_end(&mut self) {
        if self.best.knobs.settles && self.invariant != Invariant::NoProgress {
            let mut candidate = self.best.clone();
            candidate.knobs.settles = false;
            self.offer(candidate);
        }
    }

    /// Fixes the begin of every operation, so that it does not change when an
    /// earlier operation is left out.
    pub(super) fn fix_times(&mut self) {
        let all = || self.best.operations.iter().flatten();
        if all().all(|operation| operation.at > 0) {
            return;
        }
        let schedule = self.best.clone();
        let Some(report) = self.world(&schedule) else {
            return;
        };
        let mut candidate = schedule;
        for (operations, begun) in candidate.operations.iter_mut().zip(&report.begun) {
            *operations = std::iter::zip(operations.drain(..), begun)
                .filter_map(|(operation, begun)| {
                    Some(Operation {
                        at: (*begun)?,
                        think: 0,
                        ..operation
                    })
                })
                .collect();
            operations.sort_by_key(|operation| operation.at);
        }
        self.offer(candidate);
    }

    /// Replaces random strikes on commands by those that happened, one fault
    /// each: random ones change as soon as anything is left out.
    pub(super) fn spell_out_strikes(&mut self) {
        let is_random = |fault: &Fault| fault.kind.strikes_commands() && !fault.once;
        if !self.best.knobs.faults.iter().any(is_random) {
            return;
        }
        let mut candidate = self.best.clone();
        let Some(report) = self.world(&candidate) else {
            return;
        };
        let plan = &mut candidate.knobs.faults;
        plan.retain(|fault| !fault.kind.strikes_commands());
        plan.extend(report.strikes);
        plan.sort_by_key(|fault| fault.at);
        self.offer(candidate);
    }

    pub(super) fn leave_out_faults(&mut self) {
        let schedule = self.best.clone();
        let with = |faults: &[Fault]| {
            let mut schedule = schedule.clone();
            schedule.knobs.faults = faults.to_vec();
            schedule
        };
        let left = minimize(schedule.knobs.faults.clone(), |faults| {
            self.fails(&with(faults))
        });
        self.best = with(&left);
    }

    pub(super) fn leave_out_operations(&mut self) {
        let schedule = self.best.clone();
        let with = |chosen: &[(usize, Operation)]| {
            let mut schedule = schedule.clone();
            schedule.operations.iter_mut().for_each(Vec::clear);
            for (process, operation) in chosen {
                schedule.operations[*process].push(operation.clone());
            }
            schedule
        };
        let all = |(process, operations): (usize, &Vec<Operation>)| {
            let own = operations.iter().cloned();
            own.map(|operation| (process, operation))
                .collect::<Vec<_>>()
        };
        let all = schedule.operations.iter().enumerate().flat_map(all);
        let left = minimize(all.collect(), |chosen| self.fails(&with(chosen)));
        self.best = with(&left);
    }

    pub(super) fn leave_out_processes(&mut self) {
        for process in (0..self.best.knobs.processes()).rev() {
            if let Some(candidate) = without(&self.best, process) {
                self.offer(candidate);
            }
        }
    }

    pub(super) fn simplify_knobs(&mut self) {
        let simpler: [fn(&mut Schedule); 7] = [
            |schedule| schedule.knobs.writers = 1,
            |schedule| schedule.knobs.latency.1 = schedule.knobs.latency.0,
            |schedule| schedule.knobs.lock = None,
            |schedule| schedule.knobs.batch_records = 256,
            |schedule| schedule.knobs.anchors = None,
            |schedule| schedule.knobs.operators = None,
            |schedule| schedule.knobs.seen_files.clear(),
        ];
        for change in simpler {
            let mut candidate = self.best.clone();
            change(&mut candidate);
            self.offer(candidate);
        }
        while self
            .best
            .knobs
            .vault
            .as_ref()
            .is_some_and(|vault| vault.loaded > 0)
        {
            let mut candidate = self.best.clone();
            if let Some(vault) = &mut candidate.knobs.vault {
                vault.loaded /= 2;
            }
            if !self.offer(candidate) {
                break;
            }
        }
        while self.best.knobs.load > 0 {
            let mut candidate = self.best.clone();
            candidate.knobs.load /= 2;
            if !self.offer(candidate) {
                break;
            }
        }
    }

    /// Shortens faults.
    pub(super) fn shorten(&mut self) {
        for number in 0..self.best.knobs.faults.len() {
            loop {
                let mut candidate = self.best.clone();
                let fault = &mut candidate.knobs.faults[number];
                fault.lasts /= 2;
                if fault.lasts == 0 || !self.offer(candidate) {
                    break;
                }
            }
        }
    }
}

/// The schedule without one process, its operations and its faults.
fn without(schedule: &Schedule, process: usize) -> Option<Schedule> {
    let mut left = schedule.clone();
    let knobs = &mut left.knobs;
    if process < knobs.replicas {
        knobs.replicas = knobs.replicas.checked_sub(1).filter(|left| *left > 0)?;
    } else {
        knobs.vault.as_mut()?.foreign -= 1;
    }
    let anchoring = knobs.anchors.as_mut().map(|anchors| &mut anchors.replicas);
    let sharing = knobs
        .operators
        .as_mut()
        .map(|operators| &mut operators.sharing);
    let named = [anchoring, sharing, Some(&mut knobs.seen_files)];
    for replicas in named.into_iter().flatten() {
        replicas.retain(|replica| *replica != process);
        for replica in replicas {
            *replica -= usize::from(*replica > process);
        }
    }
    left.operations.remove(process);
    knobs.faults.retain(|fault| fault.replica != Some(process));
    for fault in &mut knobs.faults {
        fault.replica = fault
            .replica
            .map(|replica| replica - usize::from(replica > process));
    }
    Some(left)
}
