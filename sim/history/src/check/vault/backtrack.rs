//! Choices: what to put at an empty place, and the way back to the last one.

use std::collections::BTreeSet;

use super::lookahead::Outlook;
use super::plan::{Version, signature};
use super::search::{Failure, Search};

/// A choice that was made.
pub(super) struct Frame {
    at: usize,
    /// How long the state's list of changes was.
    length: usize,
    /// Nothing that begins after this may come here.
    horizon: u64,
    open: (usize, usize),
    must_from: usize,
    /// What may come, of this stage, and how much of it was tried.
    list: Vec<u32>,
    next: usize,
    stage: Stage,
}

/// Where candidates are taken from, in this order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// What would explain something seen.
    Seen,
    /// Acknowledged without a version.
    Must,
    /// Unknown, with known effect.
    May,
    /// The same, where only another of them makes it possible.
    Unlikely,
    /// Unknown, with unknown effect.
    Wild,
    /// A version that a loss took may have been anyone's.
    Excused,
    Done,
}

impl Search<'_, '_> {
    /// Goes on with the first thing that may come here, if anything may.
    pub(super) fn choose(&mut self, horizon: u64, otherwise: Failure) -> Result<(), Failure> {
        let place = self.at.min(self.plan.versions.len());
        let (done, sign) = if self.heuristic {
            self.state.bold_key()
        } else {
            self.state.key()
        };
        let remembers = self.heuristic || !self.state.fuzzy;
        if remembers && !self.known.insert((place, done, sign)) {
            return Err(Failure::Known);
        }
        let mut frame = Frame {
            at: self.at,
            length: self.state.length(),
            horizon,
            open: self.open,
            must_from: self.must_from,
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

    /// Takes the last choice that has another way back, and goes that way.
    pub(super) fn back_up(&mut self) -> bool {
        while let Some(frame) = self.frames.pop() {
            self.state.undo(frame.length);
            self.at = frame.at;
            self.open = frame.open;
            self.must_from = frame.must_from;
            if self.go(frame) {
                return true;
            }
        }
        false
    }

    /// Goes the next way of a choice, and remembers it.
    fn go(&mut self, mut frame: Frame) -> bool {
        let chosen = loop {
            if frame.stage == Stage::Done {
                return false;
            }
            if frame.stage == Stage::Excused {
                break None;
            }
            if let Some(mv) = frame.list.get(frame.next).copied() {
                frame.next += 1;
                break Some(mv);
            }
            frame.stage = match frame.stage {
                Stage::Seen => Stage::Must,
                Stage::Must => Stage::May,
                Stage::May => Stage::Unlikely,
                Stage::Unlikely => Stage::Wild,
                Stage::Wild if self.is_excused() => Stage::Excused,
                Stage::Wild | Stage::Excused | Stage::Done => Stage::Done,
            };
            frame.next = 0;
            frame.list = self.candidates(&frame);
        };
        self.at += 1;
        let at = self.at as u32;
        match chosen {
            None => {
                frame.stage = Stage::Done;
                self.state.write_wild(at);
            }
            Some(mv) => {
                self.state.place(mv);
                if frame.stage == Stage::Wild {
                    self.state.write_wild(at);
                }
                for (token, value) in self.plan.writes(mv) {
                    self.state.write(token, value, mv, at);
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

    /// What may come at a choice, of its stage, the likelier first.
    fn candidates(&mut self, frame: &Frame) -> Vec<u32> {
        let plan = self.plan;
        let place = self.at.min(plan.versions.len());
        let by_start = |list: &[u32], from: usize| -> Vec<u32> {
            let list = list.iter().skip(from).copied();
            list.take_while(|mv| plan.moves[*mv as usize].start <= frame.horizon)
                .collect()
        };
        let mut list = match frame.stage {
            Stage::Seen => self.lookahead.explaining(plan, place),
            Stage::Must => by_start(&plan.unversioned, frame.must_from),
            Stage::May | Stage::Unlikely if self.state.fuzzy => by_start(&plan.maybe_applied, 0),
            Stage::May | Stage::Unlikely => self.lookahead.reading(plan, &self.state.cells),
            Stage::Wild => {
                // One unknown write is as good as another.
                let mut wild = by_start(&plan.unknown_effect, 0);
                wild.retain(|mv| !self.state.placed[*mv as usize]);
                wild.truncate(1);
                return wild;
            }
            Stage::Excused | Stage::Done => return Vec::new(),
        };
        self.steps = self.steps.saturating_sub(list.len() as u64);
        let mut unlikely = Vec::new();
        list.retain(|mv| {
            let possible = plan.moves[*mv as usize].start <= frame.horizon
                && !self.state.placed[*mv as usize]
                && self.agrees_with(*mv);
            if !possible {
                return false;
            }
            let outlook = self.lookahead.outlook(plan, &self.gaps, *mv, place);
            if outlook == Outlook::Unlikely {
                unlikely.push(*mv);
            }
            outlook == Outlook::Likely
        });
        match frame.stage {
            Stage::May => unlikely.clear(),
            Stage::Unlikely => list.clear(),
            _ => {}
        }
        // Whatever one of unknown effect may do, it may do between.
        if !self.excused && plan.unknown_effect.is_empty() {
            let (gaps, placed) = (&self.gaps, &self.state.placed);
            unlikely.retain(|mv| self.lookahead.leads_on(plan, gaps, placed, *mv, place));
        }
        list.extend(unlikely);
        if matches!(frame.stage, Stage::May | Stage::Unlikely) {
            list.sort_unstable_by_key(|mv| (plan.moves[*mv as usize].start, *mv));
        }
        if self.heuristic && list.len() > 1 {
            let mut effects = BTreeSet::new();
            list.retain(|mv| effects.insert(self.effect(*mv)));
        }
        list
    }

    /// What a move would change here.
    fn effect(&self, mv: u32) -> u128 {
        let change = |(token, value): (u32, u32)| {
            signature(token, self.state.cells[token as usize].value) ^ signature(token, value)
        };
        self.plan
            .writes(mv)
            .fold(0, |sum, write| sum ^ change(write))
    }

    /// Whether a move read what stands.
    fn agrees_with(&self, mv: u32) -> bool {
        let trusted = self.plan.moves[mv as usize].trusted;
        !trusted || self.plan.reads(mv).all(|(t, v)| self.agrees(t, v))
    }
}
