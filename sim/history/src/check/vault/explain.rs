//! Which name a contradiction bears, and why, in words.

use crate::check::invariant::Invariant;
use crate::check::verdict::Violation;
use crate::check::view::violation;
use crate::{Mutation, OpId, Operation};

use super::definite::partial;
use super::plan::{NONE, Plan, Version};
use super::search::{Failure, Search};

impl Search<'_, '_> {
    pub(super) fn explain(&self, failure: &Failure) -> Vec<Violation> {
        match failure {
            Failure::Known => Vec::new(),
            Failure::Reads(mv, wrong) => vec![self.explain_reads(*mv, wrong)],
            Failure::Look(look) => vec![self.explain_look(*look)],
            Failure::Late(mv) => vec![self.explain_late(*mv)],
            Failure::Gap => vec![self.explain_gap()],
            Failure::Final(wrong) => self.explain_final(wrong),
        }
    }

    fn id(&self, mv: u32) -> OpId {
        self.plan.operation(mv).id
    }

    /// "t = a where t = b stands, written by mutate 3".
    fn differs(&self, token: u32, seen: u32) -> String {
        let plan = self.plan;
        let cell = &self.state.cells[token as usize];
        let (name, seen) = (plan.name(token), plan.text(seen));
        let stands = plan.text(cell.value);
        match cell.writer {
            NONE => format!("{name} = {seen} where {stands} stands"),
            mv => format!(
                "{name} = {seen} where {stands} stands, by mutate {}",
                self.id(mv)
            ),
        }
    }

    fn blame(&self, op: OpId, token: u32) -> Vec<OpId> {
        let mut ops = vec![op];
        let writer = self.state.cells[token as usize].writer;
        if writer != NONE && self.id(writer) != op {
            ops.push(self.id(writer));
        }
        ops
    }

    fn explain_reads(&self, mv: u32, wrong: &[(u32, u32)]) -> Violation {
        let op = self.id(mv);
        let reads: Vec<(u32, u32)> = self.plan.reads(mv).collect();
        let seen = |token| reads.iter().find(|read| read.0 == token).map(|read| read.1);
        if let Some(part) = partial(self.plan, &self.state.cells, seen, wrong) {
            let part = self.id(part);
            let reason = format!("mutate {op} read some of the writes of mutate {part}, not all");
            return violation(Invariant::PartialDiff, [part, op], reason);
        }
        if let Some(failed) = wrote_though_failed(self.plan, wrong) {
            return wrong_outcome(failed, Some(op));
        }
        let (token, value) = wrong[0];
        let reason = format!("mutate {op} read {}", self.differs(token, value));
        violation(Invariant::StaleWrite, self.blame(op, token), reason)
    }

    fn explain_look(&self, look: u32) -> Violation {
        let this = &self.plan.looks[look as usize];
        let op = self.plan.history.operations()[this.index as usize].id;
        let observed = self.observed(look);
        let f = if this.whole { "read" } else { "mutate" };
        let mut nearest: Option<Vec<(u32, u32)>> = None;
        let mut latest = None;
        for (_, cells) in self.states(look) {
            let wrong: Vec<(u32, u32)> = observed
                .iter()
                .zip(0u32..)
                .filter_map(|(seen, token)| Some((token, (*seen)?)))
                .filter(|(token, seen)| {
                    let cell = &cells[*token as usize];
                    !cell.any && cell.value != *seen
                })
                .collect();
            let seen = |token: u32| observed[token as usize];
            if let Some(part) = partial(self.plan, &cells, seen, &wrong) {
                let part = self.id(part);
                let reason = format!("{f} {op} shows some of the writes of mutate {part}, not all");
                return violation(Invariant::PartialDiff, [part, op], reason);
            }
            if let Some(failed) = wrote_though_failed(self.plan, &wrong) {
                return wrong_outcome(failed, Some(op));
            }
            latest.get_or_insert_with(|| wrong.clone());
            let fewer = |known: &Vec<(u32, u32)>| wrong.len() < known.len();
            if nearest.as_ref().is_none_or(fewer) {
                nearest = Some(wrong);
            }
        }
        let invariant = if this.whole {
            Invariant::StaleRead
        } else {
            Invariant::StaleWrite
        };
        // One that fits a state, but not in order with other reads, differs from the
        // latest.
        let (wrong, why) = match nearest {
            Some(wrong) if wrong.is_empty() => (latest, "another read had seen as much before"),
            nearest => (nearest, "no state while it ran was so"),
        };
        match wrong.as_ref().and_then(|wrong| wrong.first()) {
            Some((token, value)) => {
                let what = self.differs(*token, *value);
                let reason = format!("{f} {op} shows {what}; {why}");
                violation(invariant, self.blame(op, *token), reason)
            }
            None => {
                let reason = format!(
                    "{f} {op} shows a state that came after it ended, or was gone before it began"
                );
                violation(invariant, [op], reason)
            }
        }
    }

    fn explain_late(&self, mv: u32) -> Violation {
        let op = self.id(mv);
        let wrong = self.disagreements(mv);
        let reads: Vec<(u32, u32)> = self.plan.reads(mv).collect();
        let seen = |token| reads.iter().find(|read| read.0 == token).map(|read| read.1);
        if let Some(part) = partial(self.plan, &self.state.cells, seen, &wrong) {
            let part = self.id(part);
            let reason = format!("mutate {op} read some of the writes of mutate {part}, not all");
            return violation(Invariant::PartialDiff, [part, op], reason);
        }
        if let Some(failed) = wrote_though_failed(self.plan, &wrong) {
            return wrong_outcome(failed, Some(op));
        }
        let (ops, what) = match wrong.first() {
            Some((token, value)) => (
                self.blame(op, *token),
                format!("; it read {}", self.differs(*token, *value)),
            ),
            None => (vec![op], String::new()),
        };
        let reason = format!("mutate {op} was acknowledged and fits nowhere{what}");
        violation(Invariant::StaleWrite, ops, reason)
    }

    fn explain_gap(&self) -> Violation {
        let plan = self.plan;
        let horizon = self.ends[self.at.min(plan.versions.len())];
        let version = plan
            .versions
            .get(self.at)
            .map_or(0, |(_, version)| *version);
        let before = plan.versions[..self.at.min(plan.versions.len())]
            .iter()
            .rev();
        let began = before
            .filter_map(|(place, _)| match place {
                Version::Pinned(mv) => Some(plan.moves[*mv as usize].start),
                _ => None,
            })
            .next()
            .unwrap_or(0);
        let failed = failed(plan).find(|(operation, attempt)| {
            let fits = attempt.is_none_or(|attempt| {
                let mut reads = plan.pairs(&attempt.reads);
                reads.all(|(token, value)| token == NONE || self.agrees(token, value))
            });
            operation.start <= horizon && operation.end >= began && fits
        });
        if let Some((failed, _)) = failed {
            return wrong_outcome(failed, None);
        }
        let after = plan.versions.get(self.at..).unwrap_or_default().iter();
        let after = after.filter_map(|(place, _)| match place {
            Version::Pinned(mv) => Some(self.id(*mv)),
            _ => None,
        });
        let reason = match plan.versions.get(self.at) {
            Some((Version::Hole { count }, _)) if *count > 1 => {
                format!(
                    "{count} versions up to {version} were counted, and no mutate explains them"
                )
            }
            _ => format!("version {version} was counted, and no mutate explains it"),
        };
        violation(Invariant::StaleWrite, after.take(1), reason)
    }

    fn explain_final(&self, wrong: &[(u32, u32)]) -> Vec<Violation> {
        let plan = self.plan;
        let mut out: Vec<Violation> = Vec::new();
        let found = |token: u32| Some(plan.found[token as usize]);
        for (token, value) in wrong {
            let cell = &self.state.cells[*token as usize];
            let of_writer: Vec<(u32, u32)> = wrong
                .iter()
                .copied()
                .filter(|other| self.state.cells[other.0 as usize].writer == cell.writer)
                .collect();
            let found_violation =
                if let Some(part) = partial(plan, &self.state.cells, found, &of_writer) {
                    let op = self.id(part);
                    let reason =
                        format!("the final state holds some of the writes of mutate {op}, not all");
                    violation(Invariant::PartialDiff, [op], reason)
                } else if let Some(failed) = wrote_though_failed(plan, &[(*token, *value)]) {
                    wrong_outcome(failed, None)
                } else {
                    let invariant = if cell.value == 0 {
                        Invariant::ResurrectedToken
                    } else {
                        Invariant::LostToken
                    };
                    let ops = (cell.writer != NONE).then(|| self.id(cell.writer));
                    let reason = format!("the final state holds {}", self.differs(*token, *value));
                    violation(invariant, ops, reason)
                };
            if !out.iter().any(|known| {
                known.invariant == found_violation.invariant
                    && known.ops == found_violation.ops
                    && !known.ops.is_empty()
            }) {
                out.push(found_violation);
            }
        }
        out
    }
}

/// The mutates that failed, and what they would have done.
fn failed<'h>(plan: &Plan<'h>) -> impl Iterator<Item = (&'h Operation, Option<&'h Mutation>)> {
    let history = plan.history;
    let failed = plan.failed.iter().map(|index| *index as usize);
    failed.map(|index| {
        (
            &history.operations()[index],
            history.operations()[index].outcome.mutation(),
        )
    })
}

fn wrong_outcome(failed: &Operation, by: Option<OpId>) -> Violation {
    let op = failed.id;
    let mut ops = vec![op];
    ops.extend(by);
    let reason = match by {
        Some(by) => format!("mutate {op} was told that it was not applied; op {by} saw its write"),
        None => format!("mutate {op} was told that it was not applied, and it was"),
    };
    violation(Invariant::WrongOutcome, ops, reason)
}

/// A failed mutate that would have written one of these.
fn wrote_though_failed<'h>(plan: &Plan<'h>, wrong: &[(u32, u32)]) -> Option<&'h Operation> {
    let found = failed(plan).find(|(_, attempt)| {
        attempt.is_some_and(|attempt| {
            let mut writes = plan.pairs(&attempt.writes);
            writes.any(|write| write.1 != 0 && wrong.contains(&write))
        })
    });
    found.map(|(operation, _)| operation)
}
