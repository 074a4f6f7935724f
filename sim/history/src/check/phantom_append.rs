//! `phantom_append`: a record was never asked for, or its append definitely failed.

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in records.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    for (index, record) in view.chain.iter().enumerate() {
        let at = record.sequence;
        let reason = match (view.owner(index), record.op) {
            (Some(_), _) => continue,
            // The vault's own record; no append of the history wrote it.
            (None, None) if record.audit.is_some() => continue,
            (None, None) => format!("the record at position {at} came from no append"),
            (None, Some(op)) => {
                let other = view.history.index_of(op);
                let what = other.map_or("never invoked", |other| view.operation(other).f.name());
                format!("the record at position {at} came from op {op}: {what}")
            }
        };
        violations.push(violation(Invariant::PhantomAppend, record.op, reason));
    }
    for (operation, record) in view.failed_but_present() {
        let (op, at) = (operation.id, record.sequence);
        let reason = format!("append {op} definitely failed, yet its record is at position {at}");
        violations.push(violation(Invariant::PhantomAppend, [op], reason));
    }
}
