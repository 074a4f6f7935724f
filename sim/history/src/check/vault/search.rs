//! The search for an order: Wing & Gong, *Testing and Verifying Concurrent
//! Objects* (1993), with the memory of Lowe, *Testing for Linearizability* (2017),
//! made linear where versions leave no choice.
//!
//! Versions are visited from the first to the last. A read changes nothing, so it is
//! satisfied as early as possible, which excludes no order. Only an unacknowledged
//! version is a choice, candidates that explain a later read first. A contradiction
//! returns to the last choice, unless it is there whatever the choices are: then it is
//! reported, the state is corrected to what was read, and the search goes on.
//!
//! After a write of unknown effect, a token may have any value until it is written
//! again, or read by an acknowledged mutate. That can miss a violation and never
//! invents one.

use super::ids::{MutateId, ObservationId, Pair, Token, Value};
use std::collections::{BTreeSet, HashSet};

use crate::OpId;
use crate::check::invariant::Invariant;
use crate::check::verdict::Violation;

use super::backtrack::Frame;
use super::lookahead::Lookahead;
use super::plan::{Observation, Plan, Seen, Version};
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
    /// A mutate did not read the values before it: tokens and what it read.
    Reads(MutateId, Vec<Pair>),
    /// A read shows no state that there was while it ran.
    Observation(ObservationId),
    /// A mutate without a version has no place.
    Late(MutateId),
    /// No mutate explains a version.
    Gap,
    /// The final state holds something else.
    Final(Vec<Pair>),
    /// The search was here before.
    Known,
}

pub(super) struct Search<'p, 'h> {
    pub(super) plan: &'p Plan<'h>,
    pub(super) state: State,
    /// Version → the smallest end from there on.
    pub(super) ends: Vec<u64>,
    /// Version → empty ones before it.
    pub(super) gaps: Vec<usize>,
    /// Whether an empty place may stay unexplained.
    pub(super) excused: bool,
    pub(super) lookahead: Lookahead,
    /// That nobody has a place yet.
    pub(super) nobody: Vec<bool>,
    /// How many versions were visited, and mutates applied after the last version.
    pub(super) at: usize,
    /// Reads from the first unsatisfied one to the last that may be open.
    pub(super) open: (usize, usize),
    pub(super) unversioned_from: usize,
    pub(super) frames: Vec<Frame>,
    /// For each version, the tokens' signature before it.
    signs: Vec<u128>,
    /// The places of losses that cut versions off, and of the states that they leave.
    cuts: Vec<(usize, usize)>,
    pub(super) choices: bool,
    /// Merges equal states whatever mutates are left: fast, but only success is
    /// conclusive.
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
            gaps[index + 1] = gaps[index] + usize::from(matches!(place, Version::Gap { .. }));
        }
        for (index, (place, _)) in plan.versions.iter().enumerate().rev() {
            let end = match place {
                Version::Pinned(mutate) => plan.mutates[*mutate].end,
                Version::Cut { loss } => plan.history.losses()[*loss].time,
                Version::Gap { .. } | Version::UnexplainedRun { .. } | Version::Evicted { .. } => {
                    u64::MAX
                }
            };
            ends[index] = ends[index + 1].min(end);
        }
        let cuts = plan.versions.iter().enumerate();
        let cuts = cuts.filter_map(|(cut, (place, to))| match place {
            Version::Cut { .. } => Some((cut, kept_at(plan, cut, *to)?)),
            _ => None,
        });
        let cuts = cuts.collect();
        let excused = |(place, _): &(Version, u64)| {
            matches!(
                place,
                Version::Gap { excused: true } | Version::UnexplainedRun { .. }
            )
        };
        Search {
            plan,
            state: State::new(plan),
            ends,
            gaps,
            excused: plan.versions.iter().any(excused),
            lookahead: Lookahead::new(plan),
            nobody: vec![false; plan.mutates.len()],
            at: 0,
            open: (0, 0),
            unversioned_from: 0,
            frames: Vec::new(),
            signs: vec![0; plan.versions.len() + 1],
            cuts,
            choices: false,
            heuristic,
            known: HashSet::new(),
            steps: STEPS + STEPS_EACH * plan.mutates.len() as u64,
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
                Some((Version::Pinned(mutate), _)) => self.pinned(mutate, horizon),
                Some((Version::Gap { .. }, _)) => self.choose(horizon, Failure::Gap).err(),
                Some((Version::UnexplainedRun { .. }, _)) => Some(Failure::Gap),
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
            // Where a heuristic search got stuck is not conclusive.
            let unheard = matches!(failure, Failure::Known) || (self.heuristic && self.choices);
            if !unheard && self.stuck.as_ref().is_none_or(deeper) {
                self.stuck = Some((self.at, self.explain(&failure)));
            }
            if !self.back_up() {
                out.extend(self.stuck.take().into_iter().flat_map(|(_, why)| why));
                return Found::Nothing;
            }
        }
    }

    /// Satisfies every read that this state satisfies. Returns the latest start of the
    /// next mutate.
    fn look_around(&mut self) -> u64 {
        if self.at <= self.plan.versions.len() {
            self.state.mark(self.at);
            self.signs[self.at] = self.state.sign;
        }
        let mut horizon = self.ends[self.at.min(self.plan.versions.len())];
        while let Some(mutate) = self.plan.unversioned.get(self.unversioned_from)
            && self.state.placed[*mutate]
        {
            self.unversioned_from += 1;
        }
        for mutate in &self.plan.unversioned[self.unversioned_from..] {
            let this = &self.plan.mutates[*mutate];
            if this.start > horizon {
                break;
            }
            if !self.state.placed[*mutate] {
                horizon = horizon.min(this.end);
            }
        }
        let observations = &self.plan.observations;
        while observations
            .get(self.open.1)
            .is_some_and(|observation| observation.start <= horizon)
        {
            self.open.1 += 1;
        }
        for id in ObservationId::range(self.open.0..self.open.1) {
            if self.state.seen[id] {
                continue;
            }
            let observation = &observations[id];
            if observation.start <= horizon && self.fits(observation) {
                self.state.see(id);
            } else {
                horizon = horizon.min(observation.end);
            }
        }
        while self.open.0 < self.open.1 && self.state.seen[self.open.0] {
            self.open.0 += 1;
        }
        horizon
    }

    /// Whether a read may have seen this state.
    fn fits(&self, observation: &Observation<'_>) -> bool {
        let state = &self.state;
        let (read, sign) = match observation.seen {
            Seen::Whole(read, sign) => (read, sign),
            Seen::Some(mutation) => {
                let mut reads = self.plan.pairs(&mutation.reads);
                return reads.all(|(token, value)| self.agrees(token, value));
            }
        };
        if !state.fuzzy && (sign != state.sign || read.tokens.len() != state.live) {
            return false;
        }
        let mut count = 0;
        for (token, value) in &read.tokens {
            let token = self.plan.token(*token);
            if !self.agrees(token, Some(*value)) {
                return false;
            }
            count += usize::from(!state.is_any(token));
        }
        if !state.fuzzy {
            return true;
        }
        let definite = Token::range(0..state.cells.len())
            .filter(|token| !state.is_any(*token) && state.cells[*token].value.is_some());
        definite.count() == count
    }

    pub(super) fn agrees(&self, token: Token, value: Value) -> bool {
        self.state.cells[token].value == value || self.state.is_any(token)
    }

    /// What a mutate read that differs from the state.
    pub(super) fn disagreements(&self, mutate: MutateId) -> Vec<Pair> {
        if !self.plan.mutates[mutate].trusted {
            return Vec::new();
        }
        let reads = self.plan.reads(mutate);
        reads.filter(|(t, v)| !self.agrees(*t, *v)).collect()
    }

    fn pinned(&mut self, mutate: MutateId, horizon: u64) -> Option<Failure> {
        if let Some(failure) = self.overdue(horizon, self.plan.mutates[mutate].start) {
            return Some(failure);
        }
        let wrong = self.disagreements(mutate);
        if !wrong.is_empty() {
            return Some(Failure::Reads(mutate, wrong));
        }
        self.at += 1;
        let at = self.at;
        let trusted = self.plan.mutates[mutate].trusted;
        if self.state.fuzzy && trusted {
            for (token, value) in self.plan.reads(mutate) {
                if self.state.is_any(token) {
                    self.state.learn(token, value, at);
                }
            }
        }
        for (token, value) in self.plan.writes(mutate) {
            self.state.write(token, value, mutate, at);
        }
        None
    }

    /// The operation that had to precede one that began at `start`.
    fn overdue(&self, horizon: u64, start: u64) -> Option<Failure> {
        if horizon >= start {
            return None;
        }
        let plan = self.plan;
        let observation = (self.open.0..self.open.1)
            .find(|index| !self.state.seen[*index] && plan.observations[*index].end < start);
        let must = plan.unversioned[self.unversioned_from..]
            .iter()
            .copied()
            .find(|mutate| !self.state.placed[*mutate] && plan.mutates[*mutate].end < start);
        observation
            .map(|observation| Failure::Observation(ObservationId::new(observation)))
            .or(must.map(Failure::Late))
    }

    fn cut(&mut self, loss: usize, to: u64, horizon: u64) -> Option<Failure> {
        let loss = &self.plan.history.losses()[loss];
        if let Some(failure) = self.overdue(horizon, loss.time) {
            return Some(failure);
        }
        let kept = kept_at(self.plan, self.at, to);
        let from = kept.map_or(self.state.length(), |place| self.state.marked(place));
        let writer_before: Vec<Option<MutateId>> =
            self.state.cells.iter().map(|cell| cell.writer).collect();
        if !loss.key_by_key {
            self.state.revert(from);
        }
        for token in self.plan.tokens_of(loss) {
            // A cut restores the value before it; other tokens taken may have any.
            if writer_before[token] == self.state.cells[token].writer {
                self.state.set_any(token);
            }
        }
        self.at += 1;
        None
    }

    /// What the rest of a search depends on besides the state: the states that losses
    /// will go back to.
    pub(super) fn kept_states(&self) -> u128 {
        let later = self.cuts.iter().filter(|(cut, _)| *cut >= self.at);
        let kept = later.filter(|(_, kept)| *kept <= self.at);
        kept.fold(0, |sum, (cut, kept)| {
            sum ^ self.signs[*kept].rotate_left(1 + *cut as u32 % 127)
        })
    }

    /// What a loss took without cutting versions off may be anything from here.
    fn evict(&mut self, loss: usize) {
        self.at += 1;
        for token in self.plan.tokens_of(&self.plan.history.losses()[loss]) {
            self.state.set_any(token);
        }
    }

    /// After the last version: whether every operation is satisfied, or which is not.
    fn finish(&mut self, horizon: u64) -> Result<bool, Failure> {
        let plan = self.plan;
        let must = plan.unversioned[self.unversioned_from..]
            .iter()
            .copied()
            .find(|mutate| !self.state.placed[*mutate]);
        let observation =
            (self.open.0..plan.observations.len()).find(|index| !self.state.seen[*index]);
        let wrong: Vec<Pair> = plan
            .found
            .iter()
            .zip(Token::range(0..plan.found.len()))
            .filter(|(value, token)| !self.agrees(*token, **value))
            .map(|(value, token)| (token, *value))
            .collect();
        if must.is_none() && observation.is_none() && wrong.is_empty() {
            return Ok(true);
        }
        let observation =
            observation.map(|observation| Failure::Observation(ObservationId::new(observation)));
        let must = must.map(Failure::Late);
        let failure = observation.or(must).unwrap_or(Failure::Final(wrong));
        if plan.closed {
            return Err(failure);
        }
        self.choose(horizon, failure).map(|()| false)
    }

    /// Corrects the state to what a violation read, to go on after it.
    fn accept(&mut self, failure: &Failure) {
        let at = self.at;
        match failure {
            Failure::Reads(_, wrong) | Failure::Final(wrong) => {
                for (token, value) in wrong {
                    self.state.learn(*token, *value, at);
                }
            }
            Failure::Observation(observation) => self.state.see(*observation),
            Failure::Late(mutate) => self.state.place(*mutate),
            Failure::Gap => {
                self.at += 1;
                self.state.write_unknown(at + 1);
            }
            Failure::Known => {}
        }
    }
}

/// The place before which the state is that a loss leaves, which cuts versions off after
/// `to`; `None` if no place has it.
fn kept_at(plan: &Plan<'_>, cut: usize, to: u64) -> Option<usize> {
    let before = &plan.versions[..cut];
    let kept = match to {
        0 => Some(0),
        _ => before
            .iter()
            .rposition(|(_, at)| *at == to)
            .map(|place| place + 1),
    };
    // After a loss of single keys, versions count on from any number: this may be among those
    // that nobody was told, and was so before, too.
    let untold = before.windows(2).rposition(|places| match places {
        [
            (Version::Cut { loss }, _),
            (Version::Gap { excused: true }, at),
        ] => plan.history.losses()[*loss].key_by_key && to <= *at,
        _ => false,
    });
    kept.max(untold.map(|place| place + 2))
}
