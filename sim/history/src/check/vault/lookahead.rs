//! What acknowledged mutates see later on, so that an empty place is filled with what
//! explains it, and with nothing that cannot.

use std::collections::HashMap;

use super::plan::{NONE, Plan, Version};
use super::state::Cell;

/// How many unacknowledged versions an unexplained value is noted at.
const SPREAD: usize = 64;

/// How many mutates in a row are looked for; longer rows are taken to be there.
const CHAIN: u32 = 5;

/// What becomes of a mutate's writes at an empty place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The next that looks sees every one of them.
    Likely,
    /// The next that looks sees something else, which another empty place may explain.
    Unlikely,
    /// The next that looks sees something else, and nothing comes between.
    Impossible,
}

#[derive(Default)]
pub(super) struct Lookahead {
    /// Version, the place by which it was seen, token, value; sorted. What was seen that
    /// no acknowledged write explains.
    unexplained: Vec<(u32, u32, u32, u32)>,
    /// Token → the versions that touch it, and what they saw; [`NONE`] for a write
    /// without a look.
    touches: Vec<Vec<(u32, u32)>>,
    /// Slots at which a loss changes tokens.
    breaks: Vec<u32>,
    /// First token read, and its value → who of `may` read that. The others stand
    /// under [`NONE`].
    readers: HashMap<(u32, u32), Vec<u32>>,
    /// A token that is written, and what it was before, [`NONE`] where that was not
    /// looked at → who of `must` and `may` does so.
    steps: HashMap<(u32, u32), Vec<u32>>,
}

impl Lookahead {
    /// Linear in what was read and written, but for sorting; nothing where no place is
    /// empty.
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let mut new = Lookahead::default();
        for mv in &plan.maybe_applied {
            let trusted = plan.moves[*mv as usize].trusted;
            let first = plan.reads(*mv).next().filter(|_| trusted);
            let key = first.unwrap_or((NONE, 0));
            new.readers.entry(key).or_default().push(*mv);
        }
        for mv in plan.unversioned.iter().chain(&plan.maybe_applied) {
            for (token, _) in plan.writes(*mv) {
                let key = (token, read_of(plan, *mv, token));
                new.steps.entry(key).or_default().push(*mv);
            }
        }
        let mut gaps: Vec<u32> = Vec::new();
        for ((place, _), index) in plan.versions.iter().zip(0u32..) {
            match place {
                Version::Gap { .. } => gaps.push(index),
                Version::Cut { .. } | Version::Evicted { .. } => new.breaks.push(index),
                Version::Pinned(_) | Version::Hole { .. } => {}
            }
        }
        new.touches = vec![Vec::new(); plan.names.len()];
        if gaps.is_empty() || plan.writers.is_empty() {
            return new;
        }
        // Token → its value as far as acknowledged mutates tell, and since when.
        let mut cells = vec![(0u32, 0u32); plan.names.len()];
        for ((place, _), index) in plan.versions.iter().zip(0u32..) {
            let Version::Pinned(mv) = *place else {
                continue;
            };
            let trusted = plan.moves[mv as usize].trusted;
            for (token, value) in plan.reads(mv).filter(|_| trusted) {
                new.note(&gaps, &mut cells[token as usize], (token, value), index);
                new.touches[token as usize].push((index, value));
            }
            for (token, value) in plan.writes(mv) {
                cells[token as usize] = (value, index + 1);
                let touches = &mut new.touches[token as usize];
                if touches.last().is_none_or(|(last, _)| *last != index) {
                    touches.push((index, NONE));
                }
            }
        }
        let end = plan.versions.len() as u32;
        for (value, token) in plan.found.iter().zip(0u32..) {
            new.note(&gaps, &mut cells[token as usize], (token, *value), end);
        }
        new.unexplained.sort_unstable();
        new
    }

    fn note(&mut self, gaps: &[u32], cell: &mut (u32, u32), seen: (u32, u32), place: u32) {
        let (token, value) = seen;
        if cell.0 == value {
            return;
        }
        let first = gaps.partition_point(|gap| *gap < cell.1);
        let within = gaps[first..].iter().take_while(|gap| **gap < place);
        let noted = within.take(SPREAD).map(|gap| (*gap, place, token, value));
        self.unexplained.extend(noted);
        *cell = (value, place);
    }

    /// Who would explain something that was seen after a place, by when it was seen.
    pub(super) fn explaining(&self, plan: &Plan<'_>, place: usize) -> Vec<u32> {
        let place = place as u32;
        let from = self.unexplained.partition_point(|seen| seen.0 < place);
        let here = self.unexplained[from..]
            .iter()
            .take_while(|seen| seen.0 == place);
        let mut found = Vec::new();
        for (_, _, token, value) in here {
            for mv in plan.writers.get(&(*token, *value)).into_iter().flatten() {
                if !found.contains(mv) {
                    found.push(*mv);
                }
            }
        }
        found
    }

    /// Who of `may` can have read this state, and some that cannot; in any order.
    pub(super) fn reading(&self, plan: &Plan<'_>, cells: &[Cell]) -> Vec<u32> {
        if cells.len() > plan.maybe_applied.len() {
            return plan.maybe_applied.clone();
        }
        let of = |key: (u32, u32)| self.readers.get(&key).into_iter().flatten().copied();
        let mut found: Vec<u32> = of((NONE, 0)).collect();
        for (cell, token) in cells.iter().zip(0u32..) {
            found.extend(of((token, cell.value)));
        }
        found
    }

    /// What becomes of a move's writes if it stands at an empty place, or, behind the
    /// last place, whether they are there in the end. `gaps` counts the unacknowledged versions
    /// before each.
    pub(super) fn outlook(&self, plan: &Plan<'_>, gaps: &[u32], mv: u32, place: usize) -> Outlook {
        let end = plan.versions.len();
        let mut outlook = Outlook::Likely;
        for write in plan.writes(mv) {
            let Some((at, _)) = self.contradiction(plan, write, place) else {
                continue;
            };
            let more = place >= end || (at == end && !plan.closed) || gaps[at] > gaps[place + 1];
            if !more {
                return Outlook::Impossible;
            }
            outlook = Outlook::Unlikely;
        }
        outlook
    }

    /// Whether mutates that are left over may lead on from a move's writes to what is
    /// seen next. Behind the last place nothing is ruled out: it is the one that comes
    /// too late that a search has to get stuck at.
    pub(super) fn leads_on(
        &self,
        plan: &Plan<'_>,
        gaps: &[u32],
        placed: &[bool],
        mv: u32,
        place: usize,
    ) -> bool {
        let end = plan.versions.len();
        plan.writes(mv).all(|write| {
            let Some((at, seen)) = self.contradiction(plan, write, place) else {
                return true;
            };
            let bounded = place < end && (at < end || plan.closed);
            !bounded || self.leads((plan, placed), write, seen, gaps[at] - gaps[place + 1], 0)
        })
    }

    /// Where the next that looks at a token after a place sees something else than was
    /// written there, and what.
    fn contradiction(
        &self,
        plan: &Plan<'_>,
        (token, value): (u32, u32),
        place: usize,
    ) -> Option<(usize, u32)> {
        let touches = &self.touches[token as usize];
        let next = touches.partition_point(|(at, _)| (*at as usize) <= place);
        let (at, seen) = match touches.get(next) {
            Some((at, seen)) => (*at as usize, *seen),
            None => (plan.versions.len(), plan.found[token as usize]),
        };
        let from = self.breaks.partition_point(|at| (*at as usize) <= place);
        let broken = self
            .breaks
            .get(from)
            .is_some_and(|index| (*index as usize) < at);
        (seen != value && seen != NONE && !broken).then_some((at, seen))
    }

    /// Whether at most `most` mutates that are left over may lead a token from one
    /// value to another, `depth` of them being found already. Looks from the end that
    /// fewer of them touch.
    pub(super) fn leads(
        &self,
        (plan, placed): (&Plan<'_>, &[bool]),
        (token, from): (u32, u32),
        to: u32,
        most: u32,
        depth: u32,
    ) -> bool {
        if depth >= CHAIN {
            return true;
        }
        if depth >= most {
            return false;
        }
        let none = Vec::new();
        let ending = plan.writers.get(&(token, to)).unwrap_or(&none);
        let reading = self.steps.get(&(token, from)).unwrap_or(&none);
        let blind = self.steps.get(&(token, NONE)).unwrap_or(&none);
        let deeper =
            |from: u32, to: u32| self.leads((plan, placed), (token, from), to, most, depth + 1);
        if ending.len() <= reading.len() + blind.len() {
            let mut left = ending.iter().filter(|mv| !placed[**mv as usize]);
            return left.any(|mv| match read_of(plan, *mv, token) {
                NONE => true,
                read => read == from || (read != to && deeper(from, read)),
            });
        }
        let mut left = reading
            .iter()
            .chain(blind)
            .filter(|mv| !placed[**mv as usize]);
        left.any(|mv| {
            let mut writes = plan.writes(*mv).filter(|write| write.0 == token);
            writes.any(|(_, value)| value == to || (value != from && deeper(value, to)))
        })
    }
}

/// What a move certainly read of a token; [`NONE`] if it need not have read it.
fn read_of(plan: &Plan<'_>, mv: u32, token: u32) -> u32 {
    let trusted = plan.moves[mv as usize].trusted;
    let mut reads = plan.reads(mv).filter(|read| trusted && read.0 == token);
    reads.next().map_or(NONE, |read| read.1)
}
