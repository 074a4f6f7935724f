//! The vault as a model for the general search: what the checker is tested against.

use std::collections::{BTreeMap, BTreeSet};

use crate::{Function, History, Mutation, Outcome, Symbol};

use super::oracle::{Call, Model, search};

/// Whether a history of mutates and reads without losses is that of one map, whose
/// final content is the history's, each mutate with writes counting one version: an
/// independent answer to what [`check`](super::check) finds out.
///
/// `None` if it has more than 64 operations, or no final tokens, or if what a mutate
/// of unknown effect might have done is too much to try (over 5,000 states).
pub fn is_one_vault(history: &History) -> Option<bool> {
    let found: BTreeMap<Symbol, Symbol> = history.final_tokens()?.iter().copied().collect();
    let mut vault = Vault {
        history,
        steps: Vec::new(),
        anything: Vec::new(),
        found,
    };
    let mut calls = Vec::new();
    for operation in history.operations() {
        let (step, ends) = match &operation.outcome {
            Outcome::Mutated(mutation) => (Step::Mutate(mutation), true),
            Outcome::Unknown(Some(mutation)) => (Step::Mutate(mutation), false),
            Outcome::Unknown(None) if operation.f == Function::Mutate => (Step::Anything, false),
            Outcome::Tokens(read) if operation.f == Function::Read => {
                (Step::Read(read.tokens.iter().copied().collect()), true)
            }
            _ => continue,
        };
        let end = ends.then_some(operation.end);
        calls.push(Call {
            start: operation.start,
            end,
        });
        vault.steps.push((step, ends));
    }
    if vault
        .steps
        .iter()
        .any(|(step, _)| matches!(step, Step::Anything))
    {
        vault.anything = vault.everything()?;
    }
    search(&vault, &calls, (BTreeMap::new(), 0))
}

type Tokens = BTreeMap<Symbol, Symbol>;

enum Step<'h> {
    Mutate(&'h Mutation),
    Read(Tokens),
    Anything,
}

struct Vault<'h> {
    history: &'h History,
    /// What each call did, and whether it was acknowledged.
    steps: Vec<(Step<'h>, bool)>,
    /// Every state that there can be.
    anything: Vec<Tokens>,
    found: Tokens,
}

impl Vault<'_> {
    fn everything(&self) -> Option<Vec<Tokens>> {
        let mut values: BTreeMap<Symbol, BTreeSet<Symbol>> = BTreeMap::new();
        let mut note = |token: Symbol, value: Option<Symbol>| {
            values.entry(token).or_default().extend(value);
        };
        for (token, value) in &self.found {
            note(*token, Some(*value));
        }
        for (step, _) in &self.steps {
            match step {
                Step::Mutate(kept) => {
                    let pairs = kept.reads.iter().chain(&kept.writes);
                    pairs.for_each(|(token, value)| note(*token, *value));
                }
                Step::Read(tokens) => tokens.iter().for_each(|(t, v)| note(*t, Some(*v))),
                Step::Anything => {}
            }
        }
        let mut all: Vec<Tokens> = vec![Tokens::new()];
        for (token, values) in values {
            let mut more = all.clone();
            for value in values {
                more.extend(all.iter().cloned().map(|mut tokens| {
                    tokens.insert(token, value);
                    tokens
                }));
            }
            if more.len() > 5_000 {
                return None;
            }
            all = more;
        }
        Some(all)
    }
}

impl Model for Vault<'_> {
    type State = (Tokens, u64);

    fn step(&self, (tokens, version): &Self::State, call: usize) -> Vec<Self::State> {
        let (step, acknowledged) = &self.steps[call];
        match step {
            Step::Mutate(kept) => {
                let reads = |(token, value): &(Symbol, Option<Symbol>)| {
                    tokens.get(token).copied() == *value
                };
                let next = version + u64::from(!kept.writes.is_empty());
                let counts = kept.writes.is_empty() || !acknowledged;
                let versions = counts || kept.version.is_none_or(|said| said == next);
                if !versions || !kept.reads.iter().all(reads) {
                    return Vec::new();
                }
                let mut tokens = tokens.clone();
                for (token, value) in &kept.writes {
                    match value {
                        Some(value) => tokens.insert(*token, *value),
                        None => tokens.remove(token),
                    };
                }
                vec![(tokens, next)]
            }
            Step::Read(seen) if seen == tokens => vec![(tokens.clone(), *version)],
            Step::Read(_) => Vec::new(),
            Step::Anything => {
                let next = |tokens: &Tokens| (tokens.clone(), version + 1);
                self.anything.iter().map(next).collect()
            }
        }
    }

    fn accepts(&self, (tokens, version): &Self::State) -> bool {
        *tokens == self.found
            && self
                .history
                .final_version()
                .is_none_or(|end| end == *version)
    }
}
