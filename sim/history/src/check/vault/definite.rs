//! Which contradictions are there whatever the choices were.

use super::ids::{MutateId, ObservationId, Pair, Token, Value};
use super::plan::{Plan, Seen, Version};
use super::search::{Failure, Search};
use super::state::Cell;

/// How many states a read may have seen are compared with it.
const FAR: usize = 64;

impl Search<'_, '_> {
    /// Whether a contradiction is there whatever the unacknowledged versions are.
    pub(super) fn is_definite(&self, failure: &Failure) -> bool {
        let plan = self.plan;
        let free = plan.unversioned.is_empty()
            && plan.maybe_applied.is_empty()
            && plan.unknown_effect.is_empty();
        match failure {
            Failure::Known => false,
            Failure::Late(_) => false,
            Failure::Gap => self.is_unexplainable(),
            _ if free && self.gaps.last() == Some(&0) => true,
            Failure::Reads(_, wrong) => wrong.iter().any(|(token, value)| {
                let cell = &self.state.cells[*token];
                self.is_fixed(*token, *value, cell, self.at)
            }),
            Failure::Final(wrong) => {
                !wrong.is_empty()
                    && wrong.iter().all(|(token, value)| {
                        let cell = &self.state.cells[*token];
                        self.is_fixed(*token, *value, cell, self.at)
                    })
            }
            Failure::Observation(observation) => self.is_never(*observation),
        }
    }

    /// Whether a token certainly has the value of `cell`, and not `value`, after
    /// `at` versions: no candidate since could have written another.
    fn is_fixed(&self, token: Token, value: Value, cell: &Cell, at: usize) -> bool {
        let plan = self.plan;
        if cell.value == value || cell.any || !self.is_pinned(cell) {
            return false;
        }
        // After the last version, any candidate may follow.
        let most = if at < plan.versions.len() || (at == plan.versions.len() && plan.closed) {
            self.gaps[at] - self.gaps[cell.at.min(at)]
        } else {
            usize::MAX
        };
        if most == 0 {
            return true;
        }
        let anyone = (plan, &self.nobody[..]);
        let from = (token, cell.value);
        plan.unknown_effect.is_empty()
            && !self.excused
            && !self.lookahead.leads(anyone, from, value, most, 0)
    }

    /// Whether the mutate that wrote a token last has its version from an
    /// acknowledgement.
    fn is_pinned(&self, cell: &Cell) -> bool {
        let place = cell.at.checked_sub(1);
        let place = place.and_then(|place| self.plan.versions.get(place));
        cell.at == 0 || matches!(place, Some((Version::Pinned(_), _)))
    }

    /// Whether no mutate at all could have had an unacknowledged version.
    fn is_unexplainable(&self) -> bool {
        let plan = self.plan;
        if matches!(
            plan.versions.get(self.at),
            Some((Version::UnexplainedRun { .. }, _))
        ) {
            return true;
        }
        let horizon = self.ends[self.at.min(plan.versions.len())];
        let could = |mutate: &MutateId| {
            let this = &plan.mutates[*mutate];
            let fixed = |(token, value): Pair| {
                let cell = &self.state.cells[token];
                !self.agrees(token, value) && self.is_fixed(token, value, cell, self.at)
            };
            this.start <= horizon && !(this.trusted && plan.reads(*mutate).any(fixed))
        };
        let fits = |mutate: &MutateId| plan.mutates[*mutate].start <= horizon;
        !plan.unknown_effect.iter().any(fits)
            && !plan
                .maybe_applied
                .iter()
                .chain(&plan.unversioned)
                .any(could)
    }

    /// Whether a read differs from every state that there was while it ran.
    fn is_never(&self, observation: ObservationId) -> bool {
        let observed = self.observed(observation);
        let states = self.states(observation);
        states.len() < FAR
            && states.iter().all(|(at, cells)| {
                observed
                    .iter()
                    .zip(Token::range(0..observed.len()))
                    .any(|(seen, token)| {
                        let cell = &cells[token];
                        seen.is_some_and(|value| {
                            value != cell.value && self.is_fixed(token, value, cell, *at)
                        })
                    })
            })
    }

    /// What a read saw of each token; `None` where it did not read it.
    pub(super) fn observed(&self, observation: ObservationId) -> Vec<Option<Value>> {
        let plan = self.plan;
        let mut observed = vec![None; plan.names.len()];
        match plan.observations[observation].seen {
            Seen::Whole(read, _) => {
                observed.fill(Some(None));
                for (token, value) in &read.tokens {
                    observed[plan.token(*token)] = Some(Some(*value));
                }
            }
            Seen::Some(mutation) => {
                for (token, value) in plan.pairs(&mutation.reads) {
                    observed[token] = Some(value);
                }
            }
        }
        observed
    }

    /// The last states while a read ran, the latest first.
    pub(super) fn states(&self, observation: ObservationId) -> Vec<(usize, Vec<Cell>)> {
        let start = self.plan.observations[observation].start;
        let mut states = vec![(self.at, self.state.cells.clone())];
        let mut at = self.at.min(self.plan.versions.len());
        while at > 0 && states.len() < FAR {
            at -= 1;
            if self.ends[at] < start {
                break;
            }
            // The state before this version.
            states.push((at, self.state.past(self.state.marked(at))));
        }
        states
    }
}

/// The mutate that a state shows in part: it was applied and some of its writes
/// are missing, or it was not and some of them are there.
pub(super) fn partial(
    plan: &Plan<'_>,
    cells: &[Cell],
    observed: impl Fn(Token) -> Option<Value>,
    wrong: &[Pair],
) -> Option<MutateId> {
    let (token, _) = *wrong.first()?;
    let cell = |token: Token| &cells[token];
    if let Some(standing) = cell(token).writer {
        let missing = |(token, value): &Pair| {
            cell(*token).writer == Some(standing) && cell(*token).before == *value
        };
        let mut writes = plan.writes(standing);
        let shown = |(token, value): Pair| {
            let cell = cell(token);
            cell.writer == Some(standing) && observed(token) == Some(value) && cell.before != value
        };
        if wrong.iter().all(missing) && writes.any(shown) {
            return Some(standing);
        }
    }
    // A value identifies its writer; an absent token does not.
    let written = wrong.iter().find(|(_, value)| value.is_some())?;
    let writers = plan.writers.get(written)?;
    writers.iter().copied().find(|mutate| {
        let has = |pair: &Pair| plan.writes(*mutate).any(|write| write == *pair);
        let absent = |(token, value): Pair| observed(token).is_some_and(|seen| seen != value);
        wrong.iter().all(has) && plan.writes(*mutate).any(absent)
    })
}
