//! `fork`: two acknowledged records have one previous hash, or another record has an
//! acknowledged position.

use std::collections::BTreeMap;

use crate::{OpId, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{Standing, View, violation};

/// Linear in operations and records, but for a logarithm where violations are.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    for index in 0..view.chain.len() {
        two_successors(view, index, violations);
    }
    let mut past_the_end: BTreeMap<u64, Vec<(Symbol, OpId)>> = BTreeMap::new();
    for (operation, appended, standing) in view.acknowledged() {
        let (op, sequence) = (operation.id, appended.sequence);
        if view.at_sequence(sequence).is_none() && view.taken_by(operation).is_none() {
            let claims = past_the_end.entry(sequence).or_default();
            claims.push((appended.event_hash, op));
        }
        let (chain, other) = match standing {
            Standing::OtherRecord(other) => {
                let hash = view.text(view.chain[other].event_hash);
                let chain = format!("the chain holds {hash} there");
                (chain, view.chain[other].op)
            }
            Standing::OtherPosition => {
                let chain = "the chain has its content elsewhere, and no such position";
                (chain.to_owned(), None)
            }
            _ => continue,
        };
        let hash = view.text(appended.event_hash);
        let reason =
            format!("append {op} was acknowledged at position {sequence} as {hash}; {chain}");
        let ops = [op].into_iter().chain(other);
        violations.push(violation(Invariant::Fork, ops, reason));
    }
    for (sequence, claims) in past_the_end {
        if claims.iter().any(|(hash, _)| *hash != claims[0].0) {
            let reason = format!(
                "{} appends were acknowledged at position {sequence}, with different hashes",
                claims.len()
            );
            let ops = claims.into_iter().map(|(_, op)| op);
            violations.push(violation(Invariant::Fork, ops, reason));
        }
    }
}

/// A record that links to an earlier one than its predecessor: if the record
/// after that one links there too, and both were acknowledged, that is a fork.
fn two_successors(view: &View<'_>, index: usize, violations: &mut Vec<Violation>) {
    let record = &view.chain[index];
    let before = index
        .checked_sub(1)
        .map(|before| view.chain[before].event_hash);
    if record.previous_hash == before {
        return;
    }
    let rival = match record.previous_hash {
        None => 0,
        Some(hash) => match view.position(hash) {
            Some(previous) => previous + 1,
            None => return,
        },
    };
    if rival >= index || view.chain[rival].previous_hash != record.previous_hash {
        return;
    }
    let acknowledged = |index: usize| {
        let operation = view.operation(view.owner(index)?);
        let is = operation.appended().is_some() && view.is_checked(operation);
        is.then_some(operation.id)
    };
    if let (Some(first), Some(second)) = (acknowledged(rival), acknowledged(index))
        && first != second
    {
        let reason = format!(
            "the records of {first} and {second}, both acknowledged, have one previous hash"
        );
        violations.push(violation(Invariant::Fork, [first, second], reason));
    }
}
