//! `duplicate_append`: one append has two records.

use std::collections::BTreeMap;

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in records, but for a logarithm where violations are.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    let mut copies: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
    for (index, record) in view.chain.iter().enumerate() {
        let Some(owner) = view.owner(index) else {
            continue;
        };
        if let Some(first) = view.record_of(owner)
            && first != index
            && view.is_checked(view.operation(owner))
        {
            let first = view.chain[first].sequence;
            let positions = copies.entry(owner).or_insert_with(|| vec![first]);
            positions.push(record.sequence);
        }
    }
    for (owner, positions) in copies {
        let (op, count) = (view.operation(owner).id, positions.len());
        let reason = format!("append {op} has {count} records: at {positions:?}");
        violations.push(violation(Invariant::DuplicateAppend, [op], reason));
    }
}
