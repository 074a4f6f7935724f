//! `lost_append`: an acknowledged append is not in the chain.

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::{Standing, View, violation};

/// Linear in operations.
pub(super) fn check(view: &View<'_>, violations: &mut Vec<Violation>) {
    for (operation, appended, standing) in view.acknowledged() {
        let op = operation.id;
        let told = format!(
            "append {op} was acknowledged at position {}",
            appended.sequence
        );
        let (reason, other) = match standing {
            Standing::Taken(loss) => {
                let (fault, durability) = (view.text(loss.fault), appended.durability());
                let reason = format!(
                    "{told} with durability {durability}, which covers {fault}, and is gone"
                );
                (reason, None)
            }
            Standing::OtherContent(other) => {
                let reason = format!("{told}, but the record there came from another");
                (reason, view.chain[other].op)
            }
            Standing::Absent => {
                let hash = view.text(appended.event_hash);
                (
                    format!("{told} as {hash}; the chain has no such position"),
                    None,
                )
            }
            _ => continue,
        };
        let ops = [op].into_iter().chain(other);
        violations.push(violation(Invariant::LostAppend, ops, reason));
    }
}
