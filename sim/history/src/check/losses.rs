//! Which losses an acknowledgement's durability should have survived.

use crate::{Durability, History, Loss, Operation};

/// Whether an acknowledgement of this durability covers this fault, so that the
/// loss of what it acknowledged is not excused.
///
/// Whoever injected the fault knows best and may say so (`coveredBy`). Otherwise
/// the fault's name decides, and only where there is no doubt: data on the disk
/// survives a crash, data on a replica survives a failover. A split brain, a
/// restore, FLUSHALL, an eviction and a fault of an unknown name can take
/// anything: a checker that is unsure does not accuse.
pub(super) fn covers(history: &History, loss: &Loss, durability: Durability) -> bool {
    if let Some(covered_by) = &loss.covered_by {
        return covered_by.iter().any(|least| durability.includes(*least));
    }
    let fault = history.text(loss.fault).to_ascii_lowercase();
    let is = |names: &[&str]| names.iter().any(|name| fault.contains(name));
    match durability {
        Durability::Memory => false,
        Durability::Fsync => {
            is(&["crash", "everysec", "power", "kill", "restart"]) && !is(&["failover"])
        }
        Durability::Replicas(count) => count > 0 && is(&["failover"]),
    }
}

/// When the first loss began to make a difference; foreign processes are judged until
/// then.
pub(super) fn first_begins(history: &History) -> Option<u64> {
    history.losses().iter().map(Loss::begins).min()
}

/// Whether the receipt that kept a late copy of a failed mutate from being applied may
/// be lost.
pub(super) fn is_failure_forgotten(history: &History, operation: &Operation) -> bool {
    let mut losses = history.losses().iter();
    losses.any(|loss| loss.receipts && operation.start < loss.time)
}

/// The losses of splits in which this operation ran, at least in part, on the server
/// whose writes were lost, the last first: one can end when another begins.
pub(super) fn splits_of<'h>(
    history: &'h History,
    operation: &Operation,
) -> impl Iterator<Item = (usize, &'h Loss)> {
    let losses = history.losses().iter().enumerate().rev();
    losses.filter(|(_, loss)| {
        loss.split.as_ref().is_some_and(|split| {
            split.processes.contains(&operation.process)
                && operation.start <= loss.time
                && operation.end >= split.since
        })
    })
}
