//! `fork`, `lost_append`, `duplicate_append`, `phantom_append`, `wrong_outcome`:
//! each append against the final chain, each record against the appends.

use std::collections::BTreeMap;

use crate::{Appended, OpId, Operation, Outcome, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in operations and records, but for a logarithm where violations are.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    let records = records_of_appends(view, violations);
    let mut beyond: BTreeMap<u64, Vec<(Symbol, OpId)>> = BTreeMap::new();
    for (index, operation) in view.operations().iter().enumerate() {
        let Some(appended) = operation.appended() else {
            continue;
        };
        let sequence = appended.sequence;
        if !view.is_judged(operation) {
            continue;
        }
        let held = view.at_sequence(sequence);
        acknowledged(
            view,
            operation,
            appended,
            held,
            records[index] != NONE,
            violations,
        );
        if held.is_none() && view.taken_by(operation).is_none() {
            beyond
                .entry(sequence)
                .or_default()
                .push((appended.event_hash, operation.id));
        }
    }
    for (sequence, claims) in beyond {
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

const NONE: u32 = u32::MAX;

/// Judges every record of the chain, and finds each append's first record.
fn records_of_appends(view: &View<'_>, violations: &mut Vec<Violation>) -> Vec<u32> {
    let mut records = vec![NONE; view.operations().len()];
    let mut copies: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (index, record) in view.chain.iter().enumerate() {
        let at = record.sequence;
        let Some(owner) = view.owner(index) else {
            // The vault's own record; no append of the history wrote it.
            if record.op.is_none() && record.audit.is_some() {
                continue;
            }
            let (ops, reason) = match record.op {
                None => (
                    vec![],
                    format!("the record at position {at} came from no append"),
                ),
                Some(op) => {
                    let what = match view.history.index_of(op) {
                        Some(other) => view.operation(other).f.name(),
                        None => "never invoked",
                    };
                    (
                        vec![op],
                        format!("the record at position {at} came from op {op}: {what}"),
                    )
                }
            };
            violations.push(violation(Invariant::PhantomAppend, ops, reason));
            continue;
        };
        let operation = view.operation(owner);
        if records[owner] == NONE {
            records[owner] = index as u32;
            if matches!(operation.outcome, Outcome::Failed(_)) && view.is_judged(operation) {
                let op = operation.id;
                let reason = format!("append {op} definitely failed, yet stands at position {at}");
                violations.push(violation(Invariant::PhantomAppend, [op], reason));
                let reason = format!(
                    "append {op} was told that it was not applied; position {at} has its record"
                );
                violations.push(violation(Invariant::WrongOutcome, [op], reason));
            }
        } else if view.is_judged(operation) {
            let first = view.chain[records[owner] as usize].sequence;
            copies.entry(owner).or_insert_with(|| vec![first]).push(at);
        }
    }
    for (owner, positions) in copies {
        let op = view.operation(owner).id;
        let reason = format!(
            "append {op} has {} records: at {positions:?}",
            positions.len()
        );
        violations.push(violation(Invariant::DuplicateAppend, [op], reason));
    }
    records
}

/// One acknowledged append: the chain must hold its record where it was told.
fn acknowledged(
    view: &View<'_>,
    operation: &Operation,
    appended: Appended,
    held: Option<usize>,
    present: bool,
    violations: &mut Vec<Violation>,
) {
    let (sequence, event_hash) = (appended.sequence, appended.event_hash);
    let op = operation.id;
    let hash = view.text(event_hash);
    let matches = held.is_some_and(|held| view.chain[held].event_hash == event_hash);
    if matches && held.is_some_and(|held| view.chain[held].op == Some(op)) {
        return;
    }
    if view.is_excused(operation) {
        return;
    }
    let mut push = |invariant, ops: Vec<OpId>, reason| {
        violations.push(violation(invariant, ops, reason));
    };
    if let Some(loss) = view.taken_by(operation).filter(|_| !matches) {
        let fault = view.text(loss.fault);
        let durability = appended.durability();
        let reason = format!(
            "append {op} was acknowledged at position {sequence} with durability {durability}, \
             which covers {fault}, and is gone"
        );
        return push(Invariant::LostAppend, vec![op], reason);
    }
    let mut ops = vec![op];
    ops.extend(held.and_then(|held| view.chain[held].op));
    match held {
        Some(_) if matches && !present => {
            let reason = format!(
                "append {op} was acknowledged at position {sequence}, but the record there came \
                 from another"
            );
            push(Invariant::LostAppend, ops, reason);
        }
        Some(held) => {
            let other = view.text(view.chain[held].event_hash);
            let reason = format!(
                "append {op} was acknowledged at position {sequence} as {hash}; the chain holds \
                 {other} there"
            );
            push(Invariant::Fork, ops, reason);
        }
        None if present => {
            let reason = format!(
                "append {op} was acknowledged at position {sequence} as {hash}; the chain has its \
                 content elsewhere, and no such position"
            );
            push(Invariant::Fork, ops, reason);
        }
        None => {
            let reason = format!(
                "append {op} was acknowledged at position {sequence} as {hash}; the chain has no \
                 such position"
            );
            push(Invariant::LostAppend, ops, reason);
        }
    }
}
