//! The invariant that a contradiction violates, and the reason as text.

use super::ids::{MutateId, ObservationId, Pair, Token, Value};
use crate::check::invariant::Invariant;
use crate::check::verdict::Violation;
use crate::check::view::violation;
use crate::{Mutation, OpId, Operation};

use super::definite::partial;
use super::plan::{Plan, Seen, Version};
use super::search::{Failure, Search};

impl Search<'_, '_> {
    pub(super) fn explain(&self, failure: &Failure) -> Vec<Violation> {
        match failure {
            Failure::Known => Vec::new(),
            Failure::Reads(mutate, wrong) => vec![self.explain_reads(*mutate, wrong)],
            Failure::Observation(observation) => vec![self.explain_observation(*observation)],
            Failure::Late(mutate) => vec![self.explain_late(*mutate)],
            Failure::Gap => vec![self.explain_gap()],
            Failure::Final(wrong) => self.explain_final(wrong),
        }
    }

    fn id(&self, mutate: MutateId) -> OpId {
        self.plan.operation(mutate).id
    }

    /// "t = a, not b as written by mutate 3".
    fn differs(&self, token: Token, seen: Value) -> String {
        let plan = self.plan;
        let cell = &self.state.cells[token];
        let (name, seen) = (plan.name(token), plan.text(seen));
        let current = plan.text(cell.value);
        match cell.writer {
            None => format!("{name} = {seen}, not {current}"),
            Some(mutate) => format!(
                "{name} = {seen}, not {current} as written by mutate {}",
                self.id(mutate)
            ),
        }
    }

    fn blame(&self, op: OpId, token: Token) -> Vec<OpId> {
        let mut ops = vec![op];
        let writer = self.state.cells[token].writer;
        ops.extend(
            writer
                .map(|writer| self.id(writer))
                .filter(|writer| *writer != op),
        );
        ops
    }

    fn explain_reads(&self, mutate: MutateId, wrong: &[Pair]) -> Violation {
        let op = self.id(mutate);
        let reads: Vec<Pair> = self.plan.reads(mutate).collect();
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

    fn explain_observation(&self, observation: ObservationId) -> Violation {
        let this = &self.plan.observations[observation];
        let op = this.operation.id;
        let observed = self.observed(observation);
        let is_whole = matches!(this.seen, Seen::Whole(..));
        let f = if is_whole { "read" } else { "mutate" };
        let mut nearest: Option<Vec<Pair>> = None;
        let mut latest = None;
        for (_, cells) in self.states(observation) {
            let wrong: Vec<Pair> = observed
                .iter()
                .zip(Token::range(0..observed.len()))
                .filter_map(|(seen, token)| Some((token, (*seen)?)))
                .filter(|(token, seen)| {
                    let cell = &cells[*token];
                    !cell.any && cell.value != *seen
                })
                .collect();
            let seen = |token: Token| observed[token];
            if let Some(part) = partial(self.plan, &cells, seen, &wrong) {
                let part = self.id(part);
                let reason = format!("{f} {op} shows some of the writes of mutate {part}, not all");
                return violation(Invariant::PartialDiff, [part, op], reason);
            }
            if let Some(failed) = wrote_though_failed(self.plan, &wrong) {
                return wrong_outcome(failed, Some(op));
            }
            latest.get_or_insert_with(|| wrong.clone());
            let fewer = |known: &Vec<Pair>| wrong.len() < known.len();
            if nearest.as_ref().is_none_or(fewer) {
                nearest = Some(wrong);
            }
        }
        let invariant = if is_whole {
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

    fn explain_late(&self, mutate: MutateId) -> Violation {
        let op = self.id(mutate);
        let wrong = self.disagreements(mutate);
        let reads: Vec<Pair> = self.plan.reads(mutate).collect();
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
                Version::Pinned(mutate) => Some(plan.mutates[*mutate].start),
                _ => None,
            })
            .next()
            .unwrap_or(0);
        let failed = failed(plan).find(|(operation, attempt)| {
            let fits = attempt.is_none_or(|attempt| {
                let mut reads = plan.pairs(&attempt.reads);
                reads.all(|(token, value)| self.agrees(token, value))
            });
            operation.start <= horizon && operation.end >= began && fits
        });
        if let Some((failed, _)) = failed {
            return wrong_outcome(failed, None);
        }
        let after = plan.versions.get(self.at..).unwrap_or_default().iter();
        let after = after.filter_map(|(place, _)| match place {
            Version::Pinned(mutate) => Some(self.id(*mutate)),
            _ => None,
        });
        let reason = match plan.versions.get(self.at) {
            Some((Version::UnexplainedRun { count }, _)) if *count > 1 => {
                format!(
                    "{count} versions up to {version} were counted, and no mutate explains them"
                )
            }
            _ => format!("version {version} was counted, and no mutate explains it"),
        };
        violation(Invariant::StaleWrite, after.take(1), reason)
    }

    fn explain_final(&self, wrong: &[Pair]) -> Vec<Violation> {
        let plan = self.plan;
        let mut out: Vec<Violation> = Vec::new();
        let found = |token: Token| Some(plan.found[token]);
        for (token, value) in wrong {
            let cell = &self.state.cells[*token];
            let of_writer: Vec<Pair> = wrong
                .iter()
                .copied()
                .filter(|other| self.state.cells[other.0].writer == cell.writer)
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
                    let invariant = if cell.value.is_none() {
                        Invariant::ResurrectedToken
                    } else {
                        Invariant::LostToken
                    };
                    let ops = cell.writer.map(|writer| self.id(writer));
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
    let failed = plan.failed.iter().copied();
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
fn wrote_though_failed<'h>(plan: &Plan<'h>, wrong: &[Pair]) -> Option<&'h Operation> {
    let found = failed(plan).find(|(_, attempt)| {
        attempt.is_some_and(|attempt| {
            let mut writes = plan.pairs(&attempt.writes);
            writes.any(|write| write.1.is_some() && wrong.contains(&write))
        })
    });
    found.map(|(operation, _)| operation)
}
