//! `wrong_outcome` of an append: an error said "not applied" of what was applied.

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Linear in operations.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    for (operation, record) in view.failed_but_present() {
        let (op, at) = (operation.id, record.sequence);
        let reason =
            format!("append {op} was told that it was not applied; position {at} has its record");
        violations.push(violation(Invariant::WrongOutcome, [op], reason));
    }
}
