//! Which contradictions no other choice could have avoided.

use super::plan::{Plan, Version};
use super::search::{Failure, Search};
use super::state::Cell;

/// How many versions back the states that a read may have seen are looked at.
const FAR: usize = 64;

impl Search<'_, '_> {
    /// Whether a contradiction stands whatever fills the unacknowledged versions.
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
                let cell = &self.state.cells[*token as usize];
                self.is_fixed(*token, *value, cell, self.at)
            }),
            Failure::Final(wrong) => {
                !wrong.is_empty()
                    && wrong.iter().all(|(token, value)| {
                        let cell = &self.state.cells[*token as usize];
                        self.is_fixed(*token, *value, cell, self.at)
                    })
            }
            Failure::Look(look) => self.is_never(*look),
        }
    }

    /// Whether a token certainly has the value of `cell`, and not `value`, after
    /// `at` versions: nothing that could have written another stands in between.
    fn is_fixed(&self, token: u32, value: u32, cell: &Cell, at: usize) -> bool {
        let plan = self.plan;
        if cell.value == value || cell.any || !self.is_pinned(cell) {
            return false;
        }
        // Anything left over may stand behind the last place.
        let most = if at < plan.versions.len() || (at == plan.versions.len() && plan.closed) {
            self.gaps[at] - self.gaps[(cell.at as usize).min(at)]
        } else {
            u32::MAX
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

    /// Whether a token was last written by someone whose place is given.
    fn is_pinned(&self, cell: &Cell) -> bool {
        let place = (cell.at as usize).checked_sub(1);
        let place = place.and_then(|place| self.plan.versions.get(place));
        cell.at == 0 || matches!(place, Some((Version::Pinned(_), _)))
    }

    /// Whether nothing at all could have stood at an empty place.
    fn is_unexplainable(&self) -> bool {
        let plan = self.plan;
        if matches!(plan.versions.get(self.at), Some((Version::Hole { .. }, _))) {
            return true;
        }
        let horizon = self.ends[self.at.min(plan.versions.len())];
        let could = |mv: &u32| {
            let this = &plan.moves[*mv as usize];
            let fixed = |(token, value): (u32, u32)| {
                let cell = &self.state.cells[token as usize];
                !self.agrees(token, value) && self.is_fixed(token, value, cell, self.at)
            };
            this.start <= horizon && !(this.trusted && plan.reads(*mv).any(fixed))
        };
        let wild = |mv: &u32| plan.moves[*mv as usize].start <= horizon;
        !plan.unknown_effect.iter().any(wild)
            && !plan
                .maybe_applied
                .iter()
                .chain(&plan.unversioned)
                .any(could)
    }

    /// Whether a read differs from every state that there was while it ran.
    fn is_never(&self, look: u32) -> bool {
        let observed = self.observed(look);
        let states = self.states(look);
        states.len() < FAR
            && states.iter().all(|(at, cells)| {
                observed.iter().zip(0u32..).any(|(seen, token)| {
                    let cell = &cells[token as usize];
                    seen.is_some_and(|value| {
                        value != cell.value && self.is_fixed(token, value, cell, *at)
                    })
                })
            })
    }

    /// What a read saw of each token; `None` where it did not look.
    pub(super) fn observed(&self, look: u32) -> Vec<Option<u32>> {
        let plan = self.plan;
        let look = &plan.looks[look as usize];
        let mut observed = vec![look.whole.then_some(0); plan.names.len()];
        if look.whole {
            for (token, value) in &plan.history.vault_read(look.index).tokens {
                observed[plan.token[token.index()] as usize] = Some(value.0 + 1);
            }
        } else {
            let kept = plan.history.mutation(look.index);
            for (token, value) in plan.pairs(&kept.reads) {
                observed[token as usize] = Some(value);
            }
        }
        observed
    }

    /// The last states while a read ran, the latest first.
    pub(super) fn states(&self, look: u32) -> Vec<(usize, Vec<Cell>)> {
        let start = self.plan.looks[look as usize].start;
        let mut states = vec![(self.at, self.state.cells.clone())];
        let mut at = self.at.min(self.plan.versions.len());
        while at > 0 && states.len() < FAR {
            at -= 1;
            if self.ends[at] < start {
                break;
            }
            // Before the place: all the changes up to there.
            states.push((at, self.state.past(self.state.marked(at))));
        }
        states
    }
}

/// The mutate that a state shows in part: either it stands and some of its writes
/// are missing, or it does not stand and some of them are there.
pub(super) fn partial(
    plan: &Plan<'_>,
    cells: &[Cell],
    observed: impl Fn(u32) -> Option<u32>,
    wrong: &[(u32, u32)],
) -> Option<u32> {
    let (token, _) = *wrong.first()?;
    let cell = |token: u32| &cells[token as usize];
    let standing = cell(token).writer;
    if standing != super::plan::NONE {
        let missing = |(token, value): &(u32, u32)| {
            cell(*token).writer == standing && cell(*token).before == *value
        };
        let mut writes = plan.writes(standing);
        let shown = |(token, value): (u32, u32)| {
            let cell = cell(token);
            cell.writer == standing && observed(token) == Some(value) && cell.before != value
        };
        if wrong.iter().all(missing) && writes.any(shown) {
            return Some(standing);
        }
    }
    // A value tells who wrote it; that nothing is there does not.
    let written = wrong.iter().find(|(_, value)| *value != 0)?;
    let writers = plan.writers.get(written)?;
    writers.iter().copied().find(|mv| {
        let has = |pair: &(u32, u32)| plan.writes(*mv).any(|write| write == *pair);
        let absent = |(token, value): (u32, u32)| observed(token).is_some_and(|seen| seen != value);
        wrong.iter().all(has) && plan.writes(*mv).any(absent)
    })
}
