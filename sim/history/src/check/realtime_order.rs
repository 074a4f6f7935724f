//! `realtime_order`: an append acknowledged before another began is before it in the
//! chain.

use crate::{Appended, OpId};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{View, violation};

/// Walks the chain backwards, keeping the smallest end among the acknowledged
/// appends that are later; a record whose append began after that end is too
/// early. Linear in the chain. One late append may be overtaken by thousands:
/// it is reported once, with the nearest that overtook it and their number.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    // The earliest end so far: when, who, and at which position.
    let mut earliest: Option<(u64, OpId, u64)> = None;
    let mut found: Option<Found> = None;
    for (index, record) in view.chain.iter().enumerate().rev() {
        let Some(owner) = view.owner(index) else {
            continue;
        };
        let operation = view.operation(owner);
        if !view.is_checked(operation) {
            continue;
        }
        if let Some((end, op, at)) = earliest
            && operation.start > end
        {
            match &mut found {
                Some(found) if found.late == op => found.others += 1,
                _ => {
                    if let Some(found) = found.take() {
                        violations.push(found.violation());
                    }
                    let (early, early_at) = (operation.id, record.sequence);
                    found = Some(Found {
                        late: op,
                        at,
                        early,
                        early_at,
                        others: 0,
                    });
                }
            }
        }
        // A second copy, or a record that is not the one acknowledged, says
        // nothing about the order of acknowledgements.
        if let Some(Appended { event_hash, .. }) = operation.appended()
            && event_hash == record.event_hash
            && earliest.is_none_or(|(end, ..)| operation.end < end)
        {
            earliest = Some((operation.end, operation.id, record.sequence));
        }
    }
    violations.extend(found.map(Found::violation));
}

struct Found {
    late: OpId,
    at: u64,
    early: OpId,
    early_at: u64,
    others: u64,
}

impl Found {
    fn violation(self) -> Violation {
        let Found {
            late,
            at,
            early,
            early_at,
            others,
        } = self;
        let mut reason = format!(
            "append {late} was acknowledged before append {early} began, yet is at position \
             {at}, after {early} at {early_at}"
        );
        if others > 0 {
            reason.push_str(&format!(" (and after {others} more that began later)"));
        }
        violation(Invariant::RealtimeOrder, [late, early], reason)
    }
}
