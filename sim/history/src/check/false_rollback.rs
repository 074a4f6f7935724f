//! `false_rollback`: a process reports a rollback of what is still there.

use std::collections::BTreeSet;

use crate::{Function, History, Loss, Seen, Symbol};

use super::invariant::Invariant;
use super::verdict::Violation;
use super::view::violation;

/// O(n log n) in the final chain, the rollbacks times what was lost. A record is still there
/// if the final chain holds it and no loss before the report took it: its writer may have
/// appended it again since. A version, if no loss before the report took versions or receipts.
/// A process is reported once for the chain and once for the vault, with the first
/// operation that was open at that time.
pub(super) fn check(history: &History, violations: &mut Vec<Violation>) {
    let mut chain: BTreeSet<Symbol> = BTreeSet::new();
    if !history.rollbacks().is_empty() {
        let entries = history.chain().unwrap_or_default().iter();
        chain = entries.map(|entry| entry.event_hash).collect();
    }
    let mut reported = BTreeSet::new();
    for rollback in history.rollbacks() {
        let is_lost = |is_taken: &dyn Fn(&Loss) -> bool| {
            let mut losses = history.losses().iter();
            losses.any(|loss| loss.begins() <= rollback.time && is_taken(loss))
        };
        let (what, is_there, f) = match rollback.seen {
            Seen::Record {
                sequence,
                event_hash,
            } => {
                let is_taken = |loss: &Loss| loss.hashes.contains(&event_hash);
                let is_there = chain.contains(&event_hash) && !is_lost(&is_taken);
                let hash = history.text(event_hash);
                (
                    format!("record {sequence}, {hash},"),
                    is_there,
                    Function::Append,
                )
            }
            Seen::Version { version } => {
                let is_there = !is_lost(&|loss| !loss.versions.is_empty() || loss.receipts);
                (
                    format!("version {version} of the vault"),
                    is_there,
                    Function::Mutate,
                )
            }
        };
        if !is_there || !reported.insert((rollback.process, f.name())) {
            continue;
        }
        let refused = history.operations().iter().filter(|operation| {
            operation.process == rollback.process
                && operation.f == f
                && (operation.start..=operation.end).contains(&rollback.time)
        });
        let name = history.text(rollback.process);
        let reason = format!("{name} reported that {what} is gone, and it is not");
        let ops = refused.map(|operation| operation.id).take(1);
        violations.push(violation(Invariant::FalseRollback, ops, reason));
    }
}
