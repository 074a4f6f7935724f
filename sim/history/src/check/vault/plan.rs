//! What the search puts in order: versions, mutates that may have them, reads.

use super::ids::{MutateId, Pair, Token, Value};
use std::collections::HashMap;

use crate::check::losses;
use crate::check::verdict::Violation;
use crate::{Function, History, Loss, Mutation, Operation, Outcome, Symbol, VaultRead};

use super::versions;

/// A mutate.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mutate<'h> {
    pub(super) operation: &'h Operation,
    /// What it did or may have done; `None` where that is unknown.
    pub(super) mutation: Option<&'h Mutation>,
    pub(super) start: u64,
    /// By when it was applied; `u64::MAX` if it may never be.
    pub(super) end: u64,
    /// Whether what it read is checked.
    pub(super) trusted: bool,
}

/// What happens to the vault, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// A mutate that was acknowledged at this version.
    Pinned(MutateId),
    /// A version that no acknowledgement names; excused if a loss took it.
    Gap { excused: bool },
    /// So many versions that no mutate can have.
    UnexplainedRun { count: u64 },
    /// A loss takes tokens, possibly here.
    Evicted { loss: usize },
    /// A loss takes the versions after this one.
    Cut { loss: usize },
}

/// A read.
#[derive(Clone, Copy, Debug)]
pub(super) struct Observation<'h> {
    pub(super) operation: &'h Operation,
    pub(super) start: u64,
    pub(super) end: u64,
    pub(super) seen: Seen<'h>,
}

/// What a read showed.
#[derive(Clone, Copy, Debug)]
pub(super) enum Seen<'h> {
    /// The whole vault, and the signature of that.
    Whole(&'h VaultRead, u128),
    /// What a mutate without writes read.
    Some(&'h Mutation),
}

pub(super) struct Plan<'h> {
    pub(super) history: &'h History,
    /// Symbol → token, where it is the name of one.
    tokens: Vec<Option<Token>>,
    /// Token → symbol.
    pub(super) names: Vec<Symbol>,
    pub(super) mutates: Vec<Mutate<'h>>,
    /// The versions, and the version after each.
    pub(super) versions: Vec<(Version, u64)>,
    /// Acknowledged without a version; by start.
    pub(super) unversioned: Vec<MutateId>,
    /// Of unknown outcome and known effect; by start.
    pub(super) maybe_applied: Vec<MutateId>,
    /// Of unknown outcome and effect; by start.
    pub(super) unknown_effect: Vec<MutateId>,
    /// By start.
    pub(super) observations: Vec<Observation<'h>>,
    /// Operations that failed.
    pub(super) failed: Vec<usize>,
    /// Mutate → the loss that took it.
    pub(super) lost: Vec<Option<usize>>,
    /// Token, value → which of `unversioned` and `maybe_applied` write it.
    pub(super) writers: HashMap<Pair, Vec<MutateId>>,
    /// Token → value.
    pub(super) found: Vec<Value>,
    /// Whether the final version was given, so that nothing follows the versions.
    pub(super) closed: bool,
    /// Loss → since when versions count on from a known number.
    counted_on: Vec<u64>,
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
            tokens: vec![None; history.symbols().len()],
            names: Vec::new(),
            mutates: Vec::new(),
            versions: Vec::new(),
            unversioned: Vec::new(),
            maybe_applied: Vec::new(),
            unknown_effect: Vec::new(),
            observations: Vec::new(),
            failed: Vec::new(),
            lost: Vec::new(),
            writers: HashMap::new(),
            found: Vec::new(),
            closed: history.final_version().is_some(),
            counted_on: counted_on(history),
        };
        let (mut pinned, mut split_off) = (Vec::new(), Vec::new());
        for (index, operation) in history.operations().iter().enumerate() {
            plan.take(index, operation, &mut pinned, &mut split_off);
        }
        for (token, _) in tokens {
            plan.intern(*token);
        }
        plan.found = vec![None; plan.names.len()];
        for (token, value) in tokens {
            let token = plan.token(*token);
            plan.found[token] = Some(*value);
        }
        plan.lost = vec![None; plan.mutates.len()];
        for (mutate, loss) in split_off {
            plan.lost[mutate] = Some(loss);
        }
        versions::lay_out(&mut plan, pinned, violations);
        let Plan {
            mutates,
            unversioned,
            maybe_applied,
            ..
        } = &mut plan;
        let start = |mutate: &MutateId| mutates[*mutate].start;
        unversioned.sort_by_key(start);
        maybe_applied.sort_by_key(start);
        plan.observations
            .sort_by_key(|observation| observation.start);
        for mutate in plan.unversioned.iter().chain(&plan.maybe_applied) {
            let mutation = plan.mutates[*mutate].mutation;
            for (token, value) in mutation.iter().flat_map(|mutation| &mutation.writes) {
                let key = (plan.token(*token), *value);
                plan.writers.entry(key).or_default().push(*mutate);
            }
        }
        plan
    }

    /// One operation, if it is the vault's. In a split, one that was applied on the
    /// server whose writes were lost has no place among the versions.
    fn take(
        &mut self,
        index: usize,
        operation: &'h Operation,
        pinned: &mut Vec<(u64, MutateId)>,
        split_off: &mut Vec<(MutateId, usize)>,
    ) {
        let checked = is_checked(self.history, operation);
        let mut splits = losses::splits_of(self.history, operation).peekable();
        let is_split = splits.peek().is_some();
        match &operation.outcome {
            Outcome::Mutated(kept) | Outcome::Unknown(Some(kept)) | Outcome::Failed(Some(kept))
                if !matches!(operation.outcome, Outcome::Failed(_))
                    || losses::is_failure_forgotten(self.history, operation) =>
            {
                for (token, _) in kept.reads.iter().chain(&kept.writes) {
                    self.intern(*token);
                }
                let ok = matches!(operation.outcome, Outcome::Mutated(_)) && checked;
                if kept.writes.is_empty() {
                    // Without writes it was not sent, and has no version.
                    if ok && !is_split && !kept.reads.is_empty() {
                        self.observe(operation, Seen::Some(kept));
                    }
                    return;
                }
                let taken = splits.find(|(_, loss)| {
                    let version = kept.version.filter(|_| ok);
                    version.is_some_and(|version| {
                        let ops = loss.ops.iter().flatten();
                        let mut ops = ops.filter(|op| **op == (operation.id, version));
                        match loss.split.as_ref().is_some_and(|split| split.moving) {
                            true => ops.next().is_some(),
                            false => loss.versions.contains(&version),
                        }
                    })
                });
                if let Some((index, loss)) = taken {
                    let mutate = self.push(operation, Some(kept), u64::MAX, false);
                    let acknowledged = (operation.id, kept.version.unwrap_or_default());
                    let is_lost = loss.ops.as_ref().map(|ops| ops.contains(&acknowledged));
                    let moving = loss.split.as_ref().is_some_and(|split| split.moving);
                    if operation.end <= loss.time || (is_lost == Some(true) && !moving) {
                        split_off.push((mutate, index));
                    } else {
                        // By either server: only the values tell.
                        self.maybe_applied.push(mutate);
                    }
                    return;
                }
                let ok = ok
                    || (matches!(operation.outcome, Outcome::Mutated(_))
                        && !is_split
                        && kept.version.is_some()
                        && self.is_placed(operation));
                let end = if ok { operation.end } else { u64::MAX };
                let mutate = self.push(operation, Some(kept), end, checked);
                match kept.version.filter(|_| ok) {
                    Some(version) => pinned.push((version, mutate)),
                    None if ok => self.unversioned.push(mutate),
                    None => self.maybe_applied.push(mutate),
                }
            }
            Outcome::Unknown(None) if operation.f == Function::Mutate => {
                let mutate = self.push(operation, None, u64::MAX, false);
                self.unknown_effect.push(mutate);
            }
            Outcome::Failed(_) if operation.f == Function::Mutate => self.failed.push(index),
            Outcome::Tokens(read) if checked && !is_split && operation.f == Function::Read => {
                let mut sign = 0;
                for (token, value) in &read.tokens {
                    let token = self.intern(*token);
                    sign ^= signature(token, Some(*value));
                }
                self.observe(operation, Seen::Whole(read, sign));
            }
            _ => {}
        }
    }

    /// Whether the version of a foreign mutate that is not checked tells its place all the
    /// same: it ran between losses, and after those by numbers that are known.
    fn is_placed(&self, operation: &Operation) -> bool {
        let mut losses = self.history.losses().iter().zip(&self.counted_on);
        losses.all(|(loss, since)| operation.end < loss.begins() || operation.start > *since)
    }

    fn observe(&mut self, operation: &'h Operation, seen: Seen<'h>) {
        self.observations.push(Observation {
            operation,
            start: operation.start,
            end: operation.end,
            seen,
        });
    }

    fn push(
        &mut self,
        operation: &'h Operation,
        mutation: Option<&'h Mutation>,
        end: u64,
        trusted: bool,
    ) -> MutateId {
        self.mutates.push(Mutate {
            operation,
            mutation,
            start: operation.start,
            end,
            trusted,
        });
        MutateId::new(self.mutates.len() - 1)
    }

    fn intern(&mut self, token: Symbol) -> Token {
        let names = &mut self.names;
        *self.tokens[token.index()].get_or_insert_with(|| {
            names.push(token);
            Token::new(names.len() - 1)
        })
    }

    /// The token of a name that some operation or the final state has.
    pub(super) fn token(&self, name: Symbol) -> Token {
        match self.tokens[name.index()] {
            Some(token) => token,
            None => unreachable!("{name:?} names no token"),
        }
    }

    /// The tokens that a loss names, but for those that nothing else names.
    pub(super) fn tokens_of(&self, loss: &Loss) -> impl Iterator<Item = Token> {
        loss.tokens
            .iter()
            .filter_map(|name| self.tokens[name.index()])
    }

    /// What a mutate read, as tokens and values.
    pub(super) fn reads(&self, mutate: MutateId) -> impl Iterator<Item = Pair> {
        let kept = self.kept(mutate).map(|kept| &kept.reads[..]);
        self.pairs(kept.unwrap_or_default())
    }

    /// What a mutate wrote, as tokens and values.
    pub(super) fn writes(&self, mutate: MutateId) -> impl Iterator<Item = Pair> {
        let kept = self.kept(mutate).map(|kept| &kept.writes[..]);
        self.pairs(kept.unwrap_or_default())
    }

    fn kept(&self, mutate: MutateId) -> Option<&'h Mutation> {
        self.mutates[mutate].mutation
    }

    /// Without tokens that only a failed mutate names: nothing contradicts those.
    pub(super) fn pairs(
        &self,
        pairs: &'h [(Symbol, Option<Symbol>)],
    ) -> impl Iterator<Item = Pair> {
        pairs
            .iter()
            .filter_map(|(token, value)| Some((self.tokens[token.index()]?, *value)))
    }

    pub(super) fn operation(&self, mutate: MutateId) -> &'h Operation {
        self.mutates[mutate].operation
    }

    pub(super) fn name(&self, token: Token) -> &'h str {
        self.history.text(self.names[token])
    }

    /// A value for people.
    pub(super) fn text(&self, value: Value) -> &'h str {
        value.map_or("nothing", |value| self.history.text(value))
    }
}

/// Whether an operation is checked: not if it is foreign and
/// ended after the first loss.
pub(super) fn is_checked(history: &History, operation: &Operation) -> bool {
    !history.is_foreign(operation.process)
        || losses::first_begins(history).is_none_or(|begins| operation.end < begins)
}

/// Since when versions count on from a known number after each loss: where that lets them
/// count on from any number, since a mutate was acknowledged that is not foreign.
fn counted_on(history: &History) -> Vec<u64> {
    let acknowledged = |operation: &&Operation| {
        let is_mutate =
            matches!(&operation.outcome, Outcome::Mutated(kept) if kept.version.is_some());
        is_mutate && !history.is_foreign(operation.process)
    };
    let since = |loss: &Loss| {
        let operations = history.operations().iter().filter(acknowledged);
        let after = operations.filter(|operation| operation.start > loss.time);
        match loss.key_by_key && !loss.versions.is_empty() {
            true => after.map(|operation| operation.end).min(),
            false => Some(loss.time),
        }
    };
    let losses = history.losses().iter();
    losses.map(|loss| since(loss).unwrap_or(u64::MAX)).collect()
}

/// What a token's value adds to the signature of a state, by exclusive or; absent
/// tokens add nothing. It only finds candidates: what is equal is compared.
pub(super) fn signature(token: Token, value: Value) -> u128 {
    let Some(value) = value else {
        return 0;
    };
    let word = ((token.index() as u64) << 32) | (value.index() as u64 + 1);
    (u128::from(mix(word)) << 64) | u128::from(mix(!word))
}

/// The finalizer of SplitMix64.
pub(super) fn mix(word: u64) -> u64 {
    let word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}
