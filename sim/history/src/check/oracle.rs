//! A general search for a linearization: slow, small, and right by inspection.
//!
//! Wing & Gong, *Testing and Verifying Concurrent Objects* (1993): take any
//! operation that nothing unfinished has to precede, apply it to the model, go on,
//! and back up where the model refuses. Lowe, *Testing for Linearizability*
//! (2017): remember every set of applied operations with the state it led to, and
//! never search behind the same pair twice. Exponential in how many operations
//! overlap; the fast checkers are tested against it on small histories.

use std::collections::HashSet;
use std::hash::Hash;

pub use super::oracle_vault::is_one_vault;
use crate::{Function, History, OpId, Outcome, Symbol};

/// What operations do to a state.
pub trait Model {
    /// A state, compared and remembered by value.
    type State: Clone + Eq + Hash;

    /// The states that the call of that index may lead to: none if its answer does
    /// not fit this one, several if nobody knows what it did.
    fn step(&self, state: &Self::State, call: usize) -> Vec<Self::State>;

    /// Whether what was found at the end fits this state.
    fn accepts(&self, state: &Self::State) -> bool;
}

/// An operation's interval.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// When it began.
    pub start: u64,
    /// When it ended; `None` if its outcome is unknown, so that it may happen at
    /// any time from its start on, or never.
    pub end: Option<u64>,
}

/// How many states are remembered before a search is given up.
const MOST_STATES: usize = 1_000_000;

/// Whether some order of the calls, all those that ended and any of the others,
/// respects their intervals and the model. Equal times are concurrent.
///
/// `None` if there are more than 64 calls, or if the orders led to more than a million states.
pub fn search<M: Model>(model: &M, calls: &[Call], initial: M::State) -> Option<bool> {
    if calls.len() > 64 {
        return None;
    }
    let mut known = HashSet::new();
    let mut open = vec![(0u64, initial)];
    while let Some((done, state)) = open.pop() {
        let is_left = |index: usize| done & (1 << index) == 0;
        let ends = calls
            .iter()
            .enumerate()
            .filter(|(index, _)| is_left(*index));
        let first_end = ends.filter_map(|(_, call)| call.end).min();
        if first_end.is_none() && model.accepts(&state) {
            return Some(true);
        }
        for (index, call) in calls.iter().enumerate() {
            if !is_left(index) || first_end.is_some_and(|end| end < call.start) {
                continue;
            }
            for next in model.step(&state, index) {
                let pair = (done | (1 << index), next);
                if known.insert(pair.clone()) {
                    open.push(pair);
                }
                if known.len() > MOST_STATES {
                    return None;
                }
            }
        }
    }
    Some(false)
}

/// Whether a history of appends and reads without losses is that of one log, whose
/// final content is the history's chain: an independent answer to what
/// [`check`](super::check) finds out by scanning.
///
/// `None` if it has more than 64 operations, or no chain.
pub fn is_one_log(history: &History) -> Option<bool> {
    let chain = history.chain()?;
    let linked = chain.iter().enumerate().all(|(index, record)| {
        let previous = index
            .checked_sub(1)
            .map(|previous| chain[previous].event_hash);
        let again = chain[..index]
            .iter()
            .any(|other| other.event_hash == record.event_hash);
        record.sequence == index as u64 + 1 && record.previous_hash == previous && !again
    });
    let mut model = Log {
        steps: Vec::new(),
        chain: Vec::new(),
    };
    model.chain = chain
        .iter()
        .map(|record| (record.op, record.event_hash))
        .collect();
    let mut calls = Vec::new();
    for operation in history.operations() {
        let op = operation.id;
        let (step, ends) = match &operation.outcome {
            Outcome::Appended(appended) => {
                let answer = Some((appended.sequence, appended.event_hash));
                (Step::Append { op, answer }, true)
            }
            Outcome::Unknown(_) if operation.f == Function::Append => {
                (Step::Append { op, answer: None }, false)
            }
            Outcome::Chain(path) => (Step::Read(history.paths().hashes(*path)), true),
            _ => continue,
        };
        let end = ends.then_some(operation.end);
        calls.push(Call {
            start: operation.start,
            end,
        });
        model.steps.push(step);
    }
    Some(search(&model, &calls, Vec::new())? && linked)
}

enum Step {
    Append {
        op: OpId,
        answer: Option<(u64, Symbol)>,
    },
    Read(Vec<Symbol>),
}

struct Log {
    steps: Vec<Step>,
    chain: Vec<(Option<OpId>, Symbol)>,
}

impl Model for Log {
    type State = Vec<(Option<OpId>, Symbol)>;

    fn step(&self, state: &Self::State, call: usize) -> Vec<Self::State> {
        self.next(state, call).into_iter().collect()
    }

    fn accepts(&self, state: &Self::State) -> bool {
        *state == self.chain
    }
}

impl Log {
    fn next(&self, state: &<Self as Model>::State, call: usize) -> Option<<Self as Model>::State> {
        match &self.steps[call] {
            Step::Append { op, answer } => {
                // An append of unknown outcome that happened gave its record the
                // hash that the chain has for it; one whose record the chain does
                // not have did not happen, as nothing is ever removed.
                let hash = match answer {
                    Some((_, hash)) => *hash,
                    None => self.chain.iter().find(|record| record.0 == Some(*op))?.1,
                };
                let mut next = state.clone();
                next.push((Some(*op), hash));
                let fits = answer.is_none_or(|(sequence, _)| sequence == next.len() as u64);
                fits.then_some(next)
            }
            Step::Read(hashes) => state
                .iter()
                .map(|record| &record.1)
                .eq(hashes)
                .then(|| state.clone()),
        }
    }
}
