//! `undecryptable_token`: a read says that a live token did not reveal.

use std::collections::BTreeMap;

use crate::check::invariant::Invariant;
use crate::check::verdict::Violation;
use crate::check::view::violation;
use crate::{History, OpId, Outcome, Symbol};

use super::plan::is_checked;

/// Linear. Each token's value is reported once, with the first read that says so.
/// A value that a foreign process may have written is not reported: the
/// reference leaves the envelope's own expiry behind.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let mut said: BTreeMap<(Symbol, Symbol), OpId> = BTreeMap::new();
    for operation in history.operations() {
        let Outcome::Tokens(read) = &operation.outcome else {
            continue;
        };
        if read.undecryptable.is_empty() || !is_checked(history, operation) {
            continue;
        }
        let values: BTreeMap<Symbol, Symbol> = read.tokens.iter().copied().collect();
        for token in &read.undecryptable {
            if let Some(value) = values.get(token) {
                said.entry((*token, *value)).or_insert(operation.id);
            }
        }
    }
    if said.is_empty() {
        return;
    }
    let mut writers: BTreeMap<(Symbol, Symbol), (OpId, bool)> = BTreeMap::new();
    for operation in history.operations() {
        let (Outcome::Mutated(mutation) | Outcome::Unknown(Some(mutation))) = &operation.outcome
        else {
            continue;
        };
        for (token, value) in &mutation.writes {
            let Some(key) = value.map(|value| (*token, value)) else {
                continue;
            };
            if said.contains_key(&key) {
                let foreign = history.is_foreign(operation.process);
                let known = writers.entry(key).or_insert((operation.id, foreign));
                *known = (operation.id, known.1 || foreign);
            }
        }
    }
    for ((token, value), read) in said {
        let writer = writers.get(&(token, value));
        if writer.is_some_and(|(_, foreign)| *foreign) {
            continue;
        }
        let writer = writer.map(|(op, _)| *op);
        let by = writer.map_or(String::new(), |op| format!(", written by mutate {op},"));
        let token = history.text(token);
        let reason = format!("read {read} found {token} live{by} and could not reveal it");
        let ops = [read].into_iter().chain(writer);
        violations.push(violation(Invariant::UndecryptableToken, ops, reason));
    }
}
