//! Prunes candidates for unacknowledged versions by later reads of acknowledged
//! mutates.

use super::ids::{MutateId, Pair, Token, Value};
use std::collections::HashMap;

use super::plan::{Plan, Version};
use super::state::Cell;

/// How many unacknowledged versions an unexplained value is noted at.
const SPREAD: usize = 64;

/// Longest sequence of mutates that is searched for; longer ones count as possible.
const CHAIN: usize = 5;

/// What later reads say of a mutate's writes at an unacknowledged version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outlook {
    /// The next read of each shows them.
    Likely,
    /// The next read shows another value, which another unacknowledged version may
    /// explain.
    Unlikely,
    /// The next read shows another value, and nothing is in between.
    Impossible,
}

#[derive(Default)]
pub(super) struct Lookahead {
    /// What was read that no acknowledged write explains: version, the version by
    /// which it was read, token, value; sorted.
    unexplained: Vec<(usize, usize, Token, Value)>,
    /// Token → the versions that touch it, and what they saw; `None` for a write
    /// without a read.
    touches: Vec<Vec<(usize, Option<Value>)>>,
    /// Versions at which a loss changes tokens.
    breaks: Vec<usize>,
    /// First token read, and its value → which of `maybe_applied` read that; `None`:
    /// those that read nothing.
    readers: HashMap<Option<Pair>, Vec<MutateId>>,
    /// A token that is written, and its value before, `None` where that was not
    /// read → which of `unversioned` and `maybe_applied` write it.
    steps: HashMap<(Token, Option<Value>), Vec<MutateId>>,
}

impl Lookahead {
    /// Linear in what was read and written, but for sorting; empty where every version
    /// is acknowledged.
    pub(super) fn new(plan: &Plan<'_>) -> Self {
        let mut new = Lookahead::default();
        for mutate in &plan.maybe_applied {
            let trusted = plan.mutates[*mutate].trusted;
            let first = plan.reads(*mutate).next().filter(|_| trusted);
            new.readers.entry(first).or_default().push(*mutate);
        }
        for mutate in plan.unversioned.iter().chain(&plan.maybe_applied) {
            for (token, _) in plan.writes(*mutate) {
                let key = (token, read_of(plan, *mutate, token));
                new.steps.entry(key).or_default().push(*mutate);
            }
        }
        let mut gaps: Vec<usize> = Vec::new();
        for ((place, _), index) in plan.versions.iter().zip(0..) {
            match place {
                Version::Gap { .. } => gaps.push(index),
                Version::Cut { .. } | Version::Evicted { .. } => new.breaks.push(index),
                Version::Pinned(_) | Version::UnexplainedRun { .. } => {}
            }
        }
        new.touches = vec![Vec::new(); plan.names.len()];
        if gaps.is_empty() || plan.writers.is_empty() {
            return new;
        }
        // Token → its value by the acknowledged mutates, and since which version.
        let mut cells = vec![(None, 0); plan.names.len()];
        for ((place, _), index) in plan.versions.iter().zip(0..) {
            let Version::Pinned(mutate) = *place else {
                continue;
            };
            let trusted = plan.mutates[mutate].trusted;
            for (token, value) in plan.reads(mutate).filter(|_| trusted) {
                new.note(&gaps, &mut cells[token], (token, value), index);
                new.touches[token].push((index, Some(value)));
            }
            for (token, value) in plan.writes(mutate) {
                cells[token] = (value, index + 1);
                let touches = &mut new.touches[token];
                if touches.last().is_none_or(|(last, _)| *last != index) {
                    touches.push((index, None));
                }
            }
        }
        let end = plan.versions.len();
        for (value, token) in plan.found.iter().zip(Token::range(0..plan.found.len())) {
            new.note(&gaps, &mut cells[token], (token, *value), end);
        }
        new.unexplained.sort_unstable();
        new
    }

    fn note(&mut self, gaps: &[usize], cell: &mut (Value, usize), seen: Pair, place: usize) {
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

    /// Mutates that wrote what was read after a version, in order of those reads.
    pub(super) fn explaining(&self, plan: &Plan<'_>, place: usize) -> Vec<MutateId> {
        let from = self.unexplained.partition_point(|seen| seen.0 < place);
        let here = self.unexplained[from..]
            .iter()
            .take_while(|seen| seen.0 == place);
        let mut found = Vec::new();
        for (_, _, token, value) in here {
            for mutate in plan.writers.get(&(*token, *value)).into_iter().flatten() {
                if !found.contains(mutate) {
                    found.push(*mutate);
                }
            }
        }
        found
    }

    /// Those of `maybe_applied` that can have read this state, and some that cannot; in
    /// any order.
    pub(super) fn reading(&self, plan: &Plan<'_>, cells: &[Cell]) -> Vec<MutateId> {
        if cells.len() > plan.maybe_applied.len() {
            return plan.maybe_applied.clone();
        }
        let of = |key: Option<Pair>| self.readers.get(&key).into_iter().flatten().copied();
        let mut found: Vec<MutateId> = of(None).collect();
        for (cell, token) in cells.iter().zip(Token::range(0..cells.len())) {
            found.extend(of(Some((token, cell.value))));
        }
        found
    }

    /// What later reads say of a mutate's writes at an unacknowledged version, or, after
    /// the last, the final state. `gaps` counts the unacknowledged versions before each.
    pub(super) fn outlook(
        &self,
        plan: &Plan<'_>,
        gaps: &[usize],
        mutate: MutateId,
        place: usize,
    ) -> Outlook {
        let end = plan.versions.len();
        let mut outlook = Outlook::Likely;
        for write in plan.writes(mutate) {
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

    /// Whether mutates without a version may lead from a mutate's writes to what is read
    /// next. After the last version nothing is ruled out, so that a search gets stuck at
    /// the mutate that comes too late.
    pub(super) fn leads_on(
        &self,
        plan: &Plan<'_>,
        gaps: &[usize],
        placed: &[bool],
        mutate: MutateId,
        place: usize,
    ) -> bool {
        let end = plan.versions.len();
        plan.writes(mutate).all(|write| {
            let Some((at, seen)) = self.contradiction(plan, write, place) else {
                return true;
            };
            let bounded = place < end && (at < end || plan.closed);
            !bounded || self.leads((plan, placed), write, seen, gaps[at] - gaps[place + 1], 0)
        })
    }

    /// The next read of a token after a version, where it shows another value than was
    /// written there, and that value.
    fn contradiction(
        &self,
        plan: &Plan<'_>,
        (token, value): Pair,
        place: usize,
    ) -> Option<(usize, Value)> {
        let touches = &self.touches[token];
        let next = touches.partition_point(|(at, _)| *at <= place);
        let (at, seen) = match touches.get(next) {
            Some(touch) => *touch,
            None => (plan.versions.len(), Some(plan.found[token])),
        };
        let from = self.breaks.partition_point(|at| *at <= place);
        let broken = self.breaks.get(from).is_some_and(|index| *index < at);
        let seen = seen.filter(|seen| *seen != value && !broken)?;
        Some((at, seen))
    }

    /// Whether at most `most` mutates without a version may lead a token from one value
    /// to another, `depth` of them being found already. Searches from the end that fewer
    /// of them touch.
    pub(super) fn leads(
        &self,
        (plan, placed): (&Plan<'_>, &[bool]),
        (token, from): Pair,
        to: Value,
        most: usize,
        depth: usize,
    ) -> bool {
        if depth >= CHAIN {
            return true;
        }
        if depth >= most {
            return false;
        }
        let none = Vec::new();
        let ending = plan.writers.get(&(token, to)).unwrap_or(&none);
        let reading = self.steps.get(&(token, Some(from))).unwrap_or(&none);
        let blind = self.steps.get(&(token, None)).unwrap_or(&none);
        let deeper =
            |from: Value, to: Value| self.leads((plan, placed), (token, from), to, most, depth + 1);
        if ending.len() <= reading.len() + blind.len() {
            let mut left = ending.iter().filter(|mutate| !placed[**mutate]);
            return left.any(|mutate| match read_of(plan, *mutate, token) {
                None => true,
                Some(read) => read == from || (read != to && deeper(from, read)),
            });
        }
        let mut left = reading
            .iter()
            .chain(blind)
            .filter(|mutate| !placed[**mutate]);
        left.any(|mutate| {
            let mut writes = plan.writes(*mutate).filter(|write| write.0 == token);
            writes.any(|(_, value)| value == to || (value != from && deeper(value, to)))
        })
    }
}

/// What a mutate certainly read of a token; `None` if it need not have read it.
fn read_of(plan: &Plan<'_>, mutate: MutateId, token: Token) -> Option<Value> {
    let trusted = plan.mutates[mutate].trusted;
    let mut reads = plan.reads(mutate).filter(|read| trusted && read.0 == token);
    reads.next().map(|read| read.1)
}
