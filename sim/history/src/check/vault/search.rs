//! The search for an order: Wing & Gong, *Testing and Verifying Concurrent
//! Objects* (1993), with the memory of Lowe, *Testing for Linearizability* (2017),
//! made linear where versions leave no choice.
//!
//! Slots are filled from the first to the last. A read changes nothing, so it is
//! satisfied as soon as it can be, which never closes a way. Only an empty place is
//! a choice, tried first with what somebody saw there; a contradiction goes back to
//! the last choice, unless no choice could have mattered to it: then it is a
//! violation whatever the rest is, is written down, taken for granted, and the
//! search goes on.
//!
//! A write that nobody knows the effect of leaves every token free until it is
//! written again, or read by an acknowledged mutate. That is lenient, never strict.

use std::collections::{BTreeSet, HashSet};

use crate::OpId;
use crate::check::invariant::Invariant;
use crate::check::verdict::Violation;

use super::backtrack::Frame;
use super::lookahead::Lookahead;
use super::plan::{Look, Plan, Version};
use super::state::State;

/// Steps that every search may take, and how many more for each operation.
const STEPS: u64 = 2_000_000;
const STEPS_EACH: u64 = 40;

/// What a search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// An order, but for the violations that any order has.
    Order,
    /// There is none.
    Nothing,
    /// The search was given up.
    GaveUp,
}

/// A contradiction.
#[derive(Clone, Debug)]
pub(super) enum Failure {
    /// A mutate did not read what stands before it: tokens and what it saw.
    Reads(u32, Vec<(u32, u32)>),
    /// A read saw what never was while it ran.
    Look(u32),
    /// A mutate without a version has no place.
    Late(u32),
    /// Nobody explains a version.
    Gap,
    /// The final state holds something else.
    Final(Vec<(u32, u32)>),
    /// The search was here before.
    Known,
}

pub(super) struct Search<'p, 'h> {
    pub(super) plan: &'p Plan<'h>,
    pub(super) state: State,
    /// Version → the smallest end from there on.
    pub(super) ends: Vec<u64>,
    /// Version → empty ones before it.
    pub(super) gaps: Vec<u32>,
    /// Whether an empty place may stay unexplained.
    pub(super) excused: bool,
    pub(super) lookahead: Lookahead,
    /// That nobody has a place yet.
    pub(super) nobody: Vec<bool>,
    /// How many versions are behind, and moves after the last place.
    pub(super) at: usize,
    /// Reads from the first unsatisfied one to the last that may be open.
    pub(super) open: (usize, usize),
    pub(super) must_from: usize,
    pub(super) frames: Vec<Frame>,
    /// Whether a choice was made that cannot be taken back.
    committed: bool,
    pub(super) choices: bool,
    /// Takes two ways to one state for one, though they leave different mutates over:
    /// an order found so is one, but that none was found proves nothing.
    pub(super) heuristic: bool,
    pub(super) known: HashSet<(usize, u128, u128)>,
    pub(super) steps: u64,
    accused: BTreeSet<(Invariant, Vec<OpId>)>,
    stuck: Option<(usize, Vec<Violation>)>,
}

impl<'p, 'h> Search<'p, 'h> {
    pub(super) fn new(plan: &'p Plan<'h>, heuristic: bool) -> Self {
        let mut ends = vec![u64::MAX; plan.versions.len() + 1];
        let mut gaps = vec![0; plan.versions.len() + 1];
        for (index, (place, _)) in plan.versions.iter().enumerate() {
            gaps[index + 1] = gaps[index] + u32::from(matches!(place, Version::Gap { .. }));
        }
        for (index, (place, _)) in plan.versions.iter().enumerate().rev() {
            let end = match place {
                Version::Pinned(mv) => plan.moves[*mv as usize].end,
                Version::Cut { loss } => plan.history.losses()[*loss as usize].time,
                Version::Gap { .. } | Version::Hole { .. } | Version::Evicted { .. } => u64::MAX,
            };
            ends[index] = ends[index + 1].min(end);
        }
        let excused = |(place, _): &(Version, u64)| {
            matches!(place, Version::Gap { excused: true } | Version::Hole { .. })
        };
        Search {
            plan,
            state: State::new(plan),
            ends,
            gaps,
            excused: plan.versions.iter().any(excused),
            lookahead: Lookahead::new(plan),
            nobody: vec![false; plan.moves.len()],
            at: 0,
            open: (0, 0),
            must_from: 0,
            frames: Vec::new(),
            committed: false,
            choices: false,
            heuristic,
            known: HashSet::new(),
            steps: STEPS + STEPS_EACH * plan.moves.len() as u64,
            accused: BTreeSet::new(),
            stuck: None,
        }
    }

    /// Searches; what is wrong goes to `out`.
    pub(super) fn run(&mut self, out: &mut Vec<Violation>) -> Found {
        loop {
            let Some(steps) = self.steps.checked_sub(1) else {
                return Found::GaveUp;
            };
            self.steps = steps;
            let horizon = self.look_around();
            let failure = match self.plan.versions.get(self.at).copied() {
                Some((Version::Pinned(mv), _)) => self.pinned(mv, horizon),
                Some((Version::Gap { .. }, _)) => self.choose(horizon, Failure::Gap).err(),
                Some((Version::Hole { .. }, _)) => Some(Failure::Gap),
                Some((Version::Cut { loss }, to)) => self.cut(loss, to, horizon),
                Some((Version::Evicted { loss }, _)) => {
                    self.evict(loss);
                    None
                }
                None => match self.finish(horizon) {
                    Ok(true) => return Found::Order,
                    Ok(false) => None,
                    Err(failure) => Some(failure),
                },
            };
            let Some(failure) = failure else { continue };
            if self.is_definite(&failure) {
                for violation in self.explain(&failure) {
                    let known = (violation.invariant, violation.ops.clone());
                    if self.accused.insert(known) || violation.ops.is_empty() {
                        out.push(violation);
                    }
                }
                self.accept(&failure);
                continue;
            }
            let deeper = |(depth, _): &(usize, Vec<Violation>)| self.at > *depth;
            // Nobody hears of where a heuristic search got stuck.
            let unheard = matches!(failure, Failure::Known) || (self.heuristic && self.choices);
            if !unheard && self.stuck.as_ref().is_none_or(deeper) {
                self.stuck = Some((self.at, self.explain(&failure)));
            }
            if !self.back_up() {
                if self.committed {
                    return Found::GaveUp;
                }
                out.extend(self.stuck.take().into_iter().flat_map(|(_, why)| why));
                return Found::Nothing;
            }
        }
    }

    /// Satisfies every read that fits here; what comes next has to begin no later
    /// than the answer.
    fn look_around(&mut self) -> u64 {
        if self.at <= self.plan.versions.len() {
            self.state.mark(self.at);
        }
        let mut horizon = self.ends[self.at.min(self.plan.versions.len())];
        while let Some(mv) = self.plan.unversioned.get(self.must_from)
            && self.state.placed[*mv as usize]
        {
            self.must_from += 1;
        }
        for mv in &self.plan.unversioned[self.must_from..] {
            let this = &self.plan.moves[*mv as usize];
            if this.start > horizon {
                break;
            }
            if !self.state.placed[*mv as usize] {
                horizon = horizon.min(this.end);
            }
        }
        let looks = &self.plan.looks;
        while looks
            .get(self.open.1)
            .is_some_and(|look| look.start <= horizon)
        {
            self.open.1 += 1;
        }
        for (index, look) in looks[..self.open.1].iter().enumerate().skip(self.open.0) {
            if self.state.seen[index] {
                continue;
            }
            if look.start <= horizon && self.fits(look) {
                self.state.see(index as u32);
            } else {
                horizon = horizon.min(look.end);
            }
        }
        while self.open.0 < self.open.1 && self.state.seen[self.open.0] {
            self.open.0 += 1;
        }
        horizon
    }

    /// Whether a read may have seen this state.
    fn fits(&self, look: &Look) -> bool {
        let state = &self.state;
        if !look.whole {
            let kept = self.plan.history.mutation(look.index);
            let mut reads = self.plan.pairs(&kept.reads);
            return reads.all(|(token, value)| self.agrees(token, value));
        }
        let kept = self.plan.history.vault_read(look.index);
        if !state.fuzzy && (look.sign != state.sign || kept.tokens.len() != state.live) {
            return false;
        }
        let mut count = 0;
        for (token, value) in &kept.tokens {
            let token = self.plan.token[token.index()];
            if !self.agrees(token, value.0 + 1) {
                return false;
            }
            count += usize::from(!state.is_any(token));
        }
        if !state.fuzzy {
            return true;
        }
        let certain = (0..state.cells.len() as u32)
            .filter(|token| !state.is_any(*token) && state.cells[*token as usize].value != 0);
        certain.count() == count
    }

    pub(super) fn agrees(&self, token: u32, value: u32) -> bool {
        self.state.cells[token as usize].value == value || self.state.is_any(token)
    }

    /// What a move read that is not so.
    pub(super) fn disagreements(&self, mv: u32) -> Vec<(u32, u32)> {
        if !self.plan.moves[mv as usize].trusted {
            return Vec::new();
        }
        let reads = self.plan.reads(mv);
        reads.filter(|(t, v)| !self.agrees(*t, *v)).collect()
    }

    fn pinned(&mut self, mv: u32, horizon: u64) -> Option<Failure> {
        if let Some(failure) = self.overdue(horizon, self.plan.moves[mv as usize].start) {
            return Some(failure);
        }
        let wrong = self.disagreements(mv);
        if !wrong.is_empty() {
            return Some(Failure::Reads(mv, wrong));
        }
        self.at += 1;
        let at = self.at as u32;
        let trusted = self.plan.moves[mv as usize].trusted;
        if self.state.fuzzy && trusted {
            for (token, value) in self.plan.reads(mv) {
                if self.state.is_any(token) {
                    self.state.learn(token, value, at);
                }
            }
        }
        for (token, value) in self.plan.writes(mv) {
            self.state.write(token, value, mv, at);
        }
        None
    }

    /// Who had to come before something that began at `start`.
    fn overdue(&self, horizon: u64, start: u64) -> Option<Failure> {
        if horizon >= start {
            return None;
        }
        let plan = self.plan;
        let look = (self.open.0..self.open.1)
            .find(|index| !self.state.seen[*index] && plan.looks[*index].end < start);
        let must = plan.unversioned[self.must_from..]
            .iter()
            .copied()
            .find(|mv| !self.state.placed[*mv as usize] && plan.moves[*mv as usize].end < start);
        look.map(|look| Failure::Look(look as u32))
            .or(must.map(Failure::Late))
    }

    fn cut(&mut self, loss: u32, to: u64, horizon: u64) -> Option<Failure> {
        let loss = &self.plan.history.losses()[loss as usize];
        if let Some(failure) = self.overdue(horizon, loss.time) {
            return Some(failure);
        }
        let here = self.at;
        let kept = self.plan.versions[..here]
            .iter()
            .rposition(|(_, at)| *at == to);
        let from = match (kept, to) {
            (_, 0) => 0,
            (Some(place), _) => self.state.marked(place + 1),
            (None, _) => self.state.length(),
        };
        let writer_before: Vec<u32> = self.state.cells.iter().map(|cell| cell.writer).collect();
        self.state.revert(from);
        for token in &loss.tokens {
            let token = self.plan.token[token.index()];
            // The cut gave it its old value back; whatever else was taken is free.
            if let Some(cell) = self.state.cells.get(token as usize).copied()
                && writer_before[token as usize] == cell.writer
            {
                let cell = super::state::Cell { any: true, ..cell };
                self.state.set(token, cell);
                self.state.fuzzy = true;
            }
        }
        self.committed |= self.choices;
        self.frames.clear();
        self.at += 1;
        None
    }

    /// What a loss took without cutting versions off may be anything from here.
    fn evict(&mut self, loss: u32) {
        self.at += 1;
        for token in &self.plan.history.losses()[loss as usize].tokens {
            let token = self.plan.token[token.index()];
            if let Some(cell) = self.state.cells.get(token as usize).copied() {
                let cell = super::state::Cell { any: true, ..cell };
                self.state.set(token, cell);
                self.state.fuzzy = true;
            }
        }
    }

    /// The end of the versions: whether all is done, or what cannot be.
    fn finish(&mut self, horizon: u64) -> Result<bool, Failure> {
        let plan = self.plan;
        let must = plan.unversioned[self.must_from..]
            .iter()
            .copied()
            .find(|mv| !self.state.placed[*mv as usize]);
        let look = (self.open.0..plan.looks.len()).find(|index| !self.state.seen[*index]);
        let wrong: Vec<(u32, u32)> = plan
            .found
            .iter()
            .zip(0u32..)
            .filter(|(value, token)| !self.agrees(*token, **value))
            .map(|(value, token)| (token, *value))
            .collect();
        if must.is_none() && look.is_none() && wrong.is_empty() {
            return Ok(true);
        }
        let look = look.map(|look| Failure::Look(look as u32));
        let must = must.map(Failure::Late);
        let failure = look.or(must).unwrap_or(Failure::Final(wrong));
        if plan.closed {
            return Err(failure);
        }
        self.choose(horizon, failure).map(|()| false)
    }

    /// Takes a violation for granted.
    fn accept(&mut self, failure: &Failure) {
        let at = self.at as u32;
        match failure {
            Failure::Reads(_, wrong) | Failure::Final(wrong) => {
                for (token, value) in wrong {
                    self.state.learn(*token, *value, at);
                }
            }
            Failure::Look(look) => self.state.see(*look),
            Failure::Late(mv) => self.state.place(*mv),
            Failure::Gap => {
                self.at += 1;
                self.state.write_wild(at + 1);
            }
            Failure::Known => {}
        }
    }
}
