//! What there is to put in order: versions, and what may fill them.

use std::collections::HashMap;

use crate::check::verdict::Violation;
use crate::{Function, History, Operation, Outcome, Symbol};

use super::versions;

pub(super) const NONE: u32 = u32::MAX;

/// A mutate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Move {
    /// Its operation.
    pub(super) index: u32,
    pub(super) start: u64,
    /// When it had certainly happened; `u64::MAX` if it may never have.
    pub(super) end: u64,
    /// Whether what it read is held against it.
    pub(super) trusted: bool,
}

/// What happens to the vault, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// A mutate that was acknowledged at this version.
    Pinned(u32),
    /// A version that no acknowledgement names; excused if a loss took it.
    Gap { excused: bool },
    /// So many versions that nothing can fill.
    Hole { count: u64 },
    /// A loss takes tokens; it may stand here.
    Evicted { loss: u32 },
    /// A loss takes what is later than the place's version.
    Cut { loss: u32 },
}

/// A read: of the whole vault, or what a mutate without writes saw.
#[derive(Clone, Copy, Debug)]
pub(super) struct Look {
    pub(super) index: u32,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) whole: bool,
    /// The signature of what a read of the whole vault returned.
    pub(super) sign: u128,
}

pub(super) struct Plan<'h> {
    pub(super) history: &'h History,
    /// Symbol → token, counted from 0.
    pub(super) token: Vec<u32>,
    /// Token → symbol.
    pub(super) names: Vec<Symbol>,
    pub(super) moves: Vec<Move>,
    /// The versions, and the version after each.
    pub(super) versions: Vec<(Version, u64)>,
    /// Acknowledged without a version; by start.
    pub(super) unversioned: Vec<u32>,
    /// Of unknown outcome and known effect; by start.
    pub(super) maybe_applied: Vec<u32>,
    /// Of unknown outcome and effect; by start.
    pub(super) unknown_effect: Vec<u32>,
    /// By start.
    pub(super) looks: Vec<Look>,
    /// Operations that failed.
    pub(super) failed: Vec<u32>,
    /// Move → the loss that took it.
    pub(super) lost: Vec<u32>,
    /// (Token, value) → who of `must` and `may` writes it.
    pub(super) writers: HashMap<(u32, u32), Vec<u32>>,
    /// Token → value, 0 where absent.
    pub(super) found: Vec<u32>,
    /// Whether the final version was given, so that nothing follows the versions.
    pub(super) closed: bool,
}

impl<'h> Plan<'h> {
    /// Linear, but for sorting. Whatever is wrong with the versions as such is
    /// reported on the way.
    pub(super) fn new(
        history: &'h History,
        tokens: &[(Symbol, Symbol)],
        violations: &mut Vec<Violation>,
    ) -> Self {
        let mut plan = Plan {
            history,
            token: vec![NONE; history.symbols().len()],
            names: Vec::new(),
            moves: Vec::new(),
            versions: Vec::new(),
            unversioned: Vec::new(),
            maybe_applied: Vec::new(),
            unknown_effect: Vec::new(),
            looks: Vec::new(),
            failed: Vec::new(),
            lost: Vec::new(),
            writers: HashMap::new(),
            found: Vec::new(),
            closed: history.final_version().is_some(),
        };
        let mut pinned = Vec::new();
        for (index, operation) in history.operations().iter().enumerate() {
            plan.take(index as u32, operation, &mut pinned);
        }
        for (token, _) in tokens {
            plan.intern(*token);
        }
        plan.found = vec![0; plan.names.len()];
        for (token, value) in tokens {
            plan.found[plan.token[token.index()] as usize] = value.0 + 1;
        }
        plan.lost = vec![NONE; plan.moves.len()];
        versions::lay_out(&mut plan, pinned, violations);
        let Plan {
            moves,
            unversioned,
            maybe_applied,
            ..
        } = &mut plan;
        let start = |mv: &u32| moves[*mv as usize].start;
        unversioned.sort_by_key(start);
        maybe_applied.sort_by_key(start);
        plan.looks.sort_by_key(|look| look.start);
        for mv in plan.unversioned.iter().chain(&plan.maybe_applied) {
            let kept = history.mutation(plan.moves[*mv as usize].index);
            for (token, value) in &kept.writes {
                let key = (plan.token[token.index()], number(*value));
                plan.writers.entry(key).or_default().push(*mv);
            }
        }
        plan
    }

    /// One operation, if it is the vault's.
    fn take(&mut self, index: u32, operation: &Operation, pinned: &mut Vec<(u64, u32)>) {
        let (start, end) = (operation.start, operation.end);
        let judged = is_judged(self.history, operation);
        match &operation.outcome {
            Outcome::Mutated(kept) | Outcome::Unknown(Some(kept)) => {
                for (token, _) in kept.reads.iter().chain(&kept.writes) {
                    self.intern(*token);
                }
                let ok = matches!(operation.outcome, Outcome::Mutated(_)) && judged;
                if kept.writes.is_empty() {
                    // Nothing to write is nothing sent: no version of its own.
                    if ok && !kept.reads.is_empty() {
                        let look = Look {
                            index,
                            start,
                            end,
                            whole: false,
                            sign: 0,
                        };
                        self.looks.push(look);
                    }
                    return;
                }
                let end = if ok { end } else { u64::MAX };
                let mv = self.push(index, start, end, judged);
                match kept.version.filter(|_| ok) {
                    Some(version) => pinned.push((version, mv)),
                    None if ok => self.unversioned.push(mv),
                    None => self.maybe_applied.push(mv),
                }
            }
            Outcome::Unknown(None) if operation.f == Function::Mutate => {
                let mv = self.push(index, start, u64::MAX, false);
                self.unknown_effect.push(mv);
            }
            Outcome::Failed(_) if operation.f == Function::Mutate => self.failed.push(index),
            Outcome::Tokens(read) if judged && operation.f == Function::Read => {
                let mut sign = 0;
                for (token, value) in &read.tokens {
                    let token = self.intern(*token);
                    sign ^= signature(token, value.0 + 1);
                }
                let look = Look {
                    index,
                    start,
                    end,
                    whole: true,
                    sign,
                };
                self.looks.push(look);
            }
            _ => {}
        }
    }

    fn push(&mut self, index: u32, start: u64, end: u64, trusted: bool) -> u32 {
        self.moves.push(Move {
            index,
            start,
            end,
            trusted,
        });
        self.moves.len() as u32 - 1
    }

    fn intern(&mut self, token: Symbol) -> u32 {
        let known = &mut self.token[token.index()];
        if *known == NONE {
            *known = self.names.len() as u32;
            self.names.push(token);
        }
        *known
    }

    /// What a move read, as tokens and values.
    pub(super) fn reads(&self, mv: u32) -> impl Iterator<Item = (u32, u32)> {
        let kept = self.kept(mv).map(|kept| &kept.reads[..]);
        self.pairs(kept.unwrap_or_default())
    }

    /// What a move wrote, as tokens and values.
    pub(super) fn writes(&self, mv: u32) -> impl Iterator<Item = (u32, u32)> {
        let kept = self.kept(mv).map(|kept| &kept.writes[..]);
        self.pairs(kept.unwrap_or_default())
    }

    fn kept(&self, mv: u32) -> Option<&'h crate::Mutation> {
        self.operation(mv).outcome.mutation()
    }

    pub(super) fn pairs(
        &self,
        pairs: &'h [(Symbol, Option<Symbol>)],
    ) -> impl Iterator<Item = (u32, u32)> {
        pairs
            .iter()
            .map(|(token, value)| (self.token[token.index()], number(*value)))
    }

    pub(super) fn operation(&self, mv: u32) -> &'h Operation {
        &self.history.operations()[self.moves[mv as usize].index as usize]
    }

    pub(super) fn name(&self, token: u32) -> &'h str {
        self.history.text(self.names[token as usize])
    }

    /// A value for people.
    pub(super) fn text(&self, value: u32) -> &'h str {
        match value.checked_sub(1) {
            None => "nothing",
            Some(symbol) => self.history.text(Symbol(symbol)),
        }
    }
}

/// A value as a number, 0 for none.
pub(super) fn number(value: Option<Symbol>) -> u32 {
    value.map_or(0, |value| value.0 + 1)
}

/// Whether an operation may be held against anyone: not if it is foreign and
/// ended after the first loss.
pub(super) fn is_judged(history: &History, operation: &Operation) -> bool {
    let first = history.losses().first();
    !history.is_foreign(operation.process) || first.is_none_or(|loss| operation.end < loss.time)
}

/// What a token's value adds to the signature of a state, by exclusive or; absent
/// tokens add nothing. It only finds candidates: what is equal is compared.
pub(super) fn signature(token: u32, value: u32) -> u128 {
    if value == 0 {
        return 0;
    }
    let word = (u64::from(token) << 32) | u64::from(value);
    (u128::from(mix(word)) << 64) | u128::from(mix(!word))
}

/// The finalizer of SplitMix64.
pub(super) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
