//! Backtracking: which candidate to try at an unacknowledged version, and the return
//! to the last choice.

use super::ids::{MutateId, Pair};
use std::collections::BTreeSet;

use super::lookahead::Outlook;
use super::plan::{Version, signature};
use super::search::{Failure, Search};

/// A choice that was made.
pub(super) struct Frame {
    at: usize,
    /// How long the state's list of changes was.
    length: usize,
    /// Candidates began no later than this.
    horizon: u64,
    open: (usize, usize),
    unversioned_from: usize,
    /// The candidates of this stage, and how many were tried.
    list: Vec<MutateId>,
    next: usize,
    stage: Stage,
}

/// Where candidates are taken from, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// Mutates that wrote what a later read shows.
    Seen,
    /// Acknowledged without a version.
    Unversioned,
    /// Unknown, with known effect.
    MaybeApplied,
    /// The same, where a later read needs yet another one.
    Unlikely,
    /// Unknown, with unknown effect.
    UnknownEffect,
    /// No candidate: a version that a loss took needs none.
    Excused,
    Done,
}

impl Search<'_, '_> {
    /// Applies the first candidate, if there is one.
    pub(super) fn choose(&mut self, horizon: u64, otherwise: Failure) -> Result<(), Failure> {
        let place = self.at.min(self.plan.versions.len());
        let (done, sign) = if self.heuristic {
            self.state.heuristic_key()
        } else {
            self.state.key()
        };
        let sign = sign ^ self.kept_states();
        let remembers = self.heuristic || !self.state.fuzzy;
        if remembers && !self.known.insert((place, done, sign)) {
            return Err(Failure::Known);
        }
        let mut frame = Frame {
            at: self.at,
            length: self.state.length(),
            horizon,
            open: self.open,
            unversioned_from: self.unversioned_from,
            list: Vec::new(),
            next: 0,
            stage: Stage::Seen,
        };
        frame.list = self.candidates(&frame);
        if self.go(frame) {
            self.choices = true;
            Ok(())
        } else {
            Err(otherwise)
        }
    }

    /// Undoes the choices since the last that has another candidate, and applies that.
    pub(super) fn back_up(&mut self) -> bool {
        while let Some(frame) = self.frames.pop() {
            self.state.undo(frame.length);
            self.at = frame.at;
            self.open = frame.open;
            self.unversioned_from = frame.unversioned_from;
            if self.go(frame) {
                return true;
            }
        }
        false
    }

    /// Applies the next candidate of a choice, and keeps the choice.
    fn go(&mut self, mut frame: Frame) -> bool {
        let chosen = loop {
            if frame.stage == Stage::Done {
                return false;
            }
            if frame.stage == Stage::Excused {
                break None;
            }
            if let Some(mutate) = frame.list.get(frame.next).copied() {
                frame.next += 1;
                break Some(mutate);
            }
            frame.stage = match frame.stage {
                Stage::Seen => Stage::Unversioned,
                Stage::Unversioned => Stage::MaybeApplied,
                Stage::MaybeApplied => Stage::Unlikely,
                Stage::Unlikely => Stage::UnknownEffect,
                Stage::UnknownEffect if self.is_excused() => Stage::Excused,
                Stage::UnknownEffect | Stage::Excused | Stage::Done => Stage::Done,
            };
            frame.next = 0;
            frame.list = self.candidates(&frame);
        };
        self.at += 1;
        let at = self.at;
        match chosen {
            None => {
                frame.stage = Stage::Done;
                self.state.write_unknown(at);
            }
            Some(mutate) => {
                self.state.place(mutate);
                if frame.stage == Stage::UnknownEffect {
                    self.state.write_unknown(at);
                }
                for (token, value) in self.plan.writes(mutate) {
                    self.state.write(token, value, mutate, at);
                }
            }
        }
        self.frames.push(frame);
        true
    }

    fn is_excused(&self) -> bool {
        let place = self.plan.versions.get(self.at);
        matches!(place, Some((Version::Gap { excused: true }, _)))
    }

    /// A choice's candidates of its stage, the likelier first.
    fn candidates(&mut self, frame: &Frame) -> Vec<MutateId> {
        let plan = self.plan;
        let place = self.at.min(plan.versions.len());
        let by_start = |list: &[MutateId], from: usize| -> Vec<MutateId> {
            let list = list.iter().skip(from).copied();
            list.take_while(|mutate| plan.mutates[*mutate].start <= frame.horizon)
                .collect()
        };
        let mut list = match frame.stage {
            Stage::Seen => self.lookahead.explaining(plan, place),
            Stage::Unversioned => by_start(&plan.unversioned, frame.unversioned_from),
            Stage::MaybeApplied | Stage::Unlikely if self.state.fuzzy => {
                by_start(&plan.maybe_applied, 0)
            }
            Stage::MaybeApplied | Stage::Unlikely => {
                self.lookahead.reading(plan, &self.state.cells)
            }
            Stage::UnknownEffect => {
                // All unknown writes have the same effect here.
                let mut unknown = by_start(&plan.unknown_effect, 0);
                unknown.retain(|mutate| !self.state.placed[*mutate]);
                unknown.truncate(1);
                return unknown;
            }
            Stage::Excused | Stage::Done => return Vec::new(),
        };
        self.steps = self.steps.saturating_sub(list.len() as u64);
        let mut unlikely = Vec::new();
        list.retain(|mutate| {
            let possible = plan.mutates[*mutate].start <= frame.horizon
                && !self.state.placed[*mutate]
                && self.agrees_with(*mutate);
            if !possible {
                return false;
            }
            let outlook = self.lookahead.outlook(plan, &self.gaps, *mutate, place);
            if outlook == Outlook::Unlikely {
                unlikely.push(*mutate);
            }
            outlook == Outlook::Likely
        });
        match frame.stage {
            Stage::MaybeApplied => unlikely.clear(),
            Stage::Unlikely => list.clear(),
            _ => {}
        }
        // A mutate of unknown effect between the two may explain any value.
        if !self.excused && plan.unknown_effect.is_empty() {
            let (gaps, placed) = (&self.gaps, &self.state.placed);
            unlikely.retain(|mutate| self.lookahead.leads_on(plan, gaps, placed, *mutate, place));
        }
        list.extend(unlikely);
        if matches!(frame.stage, Stage::MaybeApplied | Stage::Unlikely) {
            list.sort_unstable_by_key(|mutate| (plan.mutates[*mutate].start, *mutate));
        }
        if self.heuristic && list.len() > 1 {
            let mut effects = BTreeSet::new();
            list.retain(|mutate| effects.insert(self.effect(*mutate)));
        }
        list
    }

    /// What a mutate would change here.
    fn effect(&self, mutate: MutateId) -> u128 {
        let change = |(token, value): Pair| {
            signature(token, self.state.cells[token].value) ^ signature(token, value)
        };
        self.plan
            .writes(mutate)
            .fold(0, |sum, write| sum ^ change(write))
    }

    /// Whether a mutate read the current values.
    fn agrees_with(&self, mutate: MutateId) -> bool {
        let trusted = self.plan.mutates[mutate].trusted;
        !trusted || self.plan.reads(mutate).all(|(t, v)| self.agrees(t, v))
    }
}
