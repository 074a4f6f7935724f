//! `silent_rollback` of the vault: a process that had seen a version, or a value,
//! that a loss took goes on writing without having said so.

use super::ids::{MutateId, Pair};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

use crate::check::invariant::Invariant;
use crate::check::loss_account::{Sights, Told};
use crate::check::verdict::Violation;
use crate::check::view::violation;
use crate::{History, Known, OpId, Seen, Symbol};

use super::plan::{self, Plan, Version};

/// Linear in what was read and written, but for logarithms and for the losses that
/// a process has seen. A process is reported once for each loss.
///
/// A process has seen what was lost if a mutate that the loss took was
/// acknowledged to it, or it began with having seen that one, or a read showed it a
/// value that only such mutates wrote; not where the receipts of them still stand, or
/// were never written.
/// The write is one acknowledged that came after the loss. A rollback of the vault that
/// the process reports after the loss (in a moving split: after the sight) and before the
/// acknowledgement clears it, of earlier losses too.
pub(super) fn check(plan: &Plan<'_>, violations: &mut Vec<Violation>) {
    violations.extend(find(plan).into_iter().map(|(_, violation)| violation));
}

/// What became of each sight of something that a loss took.
pub(super) fn sights(plan: &Plan<'_>) -> Sights {
    let mut sights: Sights = sightings(plan)
        .into_keys()
        .map(|(process, loss)| {
            let begins = plan.history.losses()[loss].begins();
            match said(plan.history, process, begins..=u64::MAX) {
                true => ((process, loss), Told::Said),
                false => ((process, loss), Told::Idle),
            }
        })
        .collect();
    for (sight, _) in find(plan) {
        sights.insert(sight, Told::Silent);
    }
    sights
}

/// Whether a process reported a rollback of the vault at one of these times.
fn said(history: &History, process: Symbol, times: RangeInclusive<u64>) -> bool {
    history.rollbacks().iter().any(|said| {
        matches!(said.seen, Seen::Version { .. })
            && said.process == process
            && times.contains(&said.time)
    })
}

fn find(plan: &Plan<'_>) -> Vec<((Symbol, usize), Violation)> {
    let mut found = Vec::new();
    if plan.lost.iter().all(|loss| loss.is_none()) {
        return found;
    }
    let history = plan.history;
    let seen = sightings(plan);
    let mut done: BTreeSet<(Symbol, usize)> = BTreeSet::new();
    let mut era = 0;
    for (place, _) in &plan.versions {
        let mutate = match *place {
            Version::Cut { loss } => {
                era = loss + 1;
                continue;
            }
            Version::Pinned(mutate) => mutate,
            _ => continue,
        };
        let write = plan.operation(mutate);
        let sights = seen.range((write.process, 0)..=(write.process, usize::MAX));
        for (&(process, loss), &(time, by)) in sights {
            let lost = &history.losses()[loss];
            // A split cuts no versions off, so it has no place among them.
            let is_after = match lost.split {
                None => loss < era,
                Some(_) => write.start > lost.time,
            };
            // A process that finds the promoted primary by itself may say so, and go on, before
            // the loss is complete.
            let moves = lost.split.as_ref().is_some_and(|split| split.moving);
            let since = match moves {
                true => lost.begins().max(time).min(lost.time),
                false => lost.time,
            };
            let told = said(history, process, since..=write.end);
            if !is_after || told || time >= write.start || !done.insert((process, loss)) {
                continue;
            }
            let (name, fault) = (history.text(process), history.text(lost.fault));
            let op = write.id;
            let reason = format!(
                "{name} had seen by op {by} what {fault} took at {} ms, and mutate {op} was \
                 acknowledged without a word about it",
                lost.time / 1_000_000
            );
            let violation = violation(Invariant::SilentRollback, [op, by], reason);
            found.push(((process, loss), violation));
        }
    }
    found
}

/// By process and loss, when and by which operation it first saw what the loss
/// took. Foreign processes know of no rollbacks.
fn sightings(plan: &Plan<'_>) -> BTreeMap<(Symbol, usize), (u64, OpId)> {
    let history = plan.history;
    let mut seen: BTreeMap<(Symbol, usize), (u64, OpId)> = BTreeMap::new();
    // The loss that took a value, none if some write of it was not taken.
    let mut values: BTreeMap<Pair, Option<usize>> = BTreeMap::new();
    // The loss that took a mutate.
    let mut taken: BTreeMap<OpId, usize> = BTreeMap::new();
    for mutate in MutateId::range(0..plan.mutates.len()) {
        let operation = plan.operation(mutate);
        // Where receipts stand, so does all by which the process would know; and a
        // foreign process writes none.
        let is_told = |loss: &usize| {
            let loss = &history.losses()[*loss];
            (!loss.key_by_key || loss.receipts) && !history.is_foreign(operation.process)
        };
        let loss = plan.lost[mutate].filter(is_told);
        // Of keys that were lost one by one, the values may still be there.
        let shown = loss.filter(|loss| !history.losses()[*loss].key_by_key);
        for (token, value) in plan.writes(mutate).filter(|(_, value)| value.is_some()) {
            let known = values.entry((token, value)).or_insert(shown);
            if *known != shown {
                *known = None;
            }
        }
        if let Some(loss) = loss {
            taken.insert(operation.id, loss);
            see(
                &mut seen,
                (operation.process, loss),
                operation.end,
                operation.id,
            );
        }
    }
    for known in history.known() {
        if let Known::Mutate { op } = known.what
            && let Some(loss) = taken.get(&op)
        {
            see(&mut seen, (known.process, *loss), known.time, op);
        }
    }
    for observation in &plan.observations {
        let operation = observation.operation;
        let plan::Seen::Whole(read, _) = observation.seen else {
            continue;
        };
        if history.is_foreign(operation.process) {
            continue;
        }
        for (token, value) in &read.tokens {
            let key = (plan.token(*token), Some(*value));
            if let Some(Some(loss)) = values.get(&key) {
                see(
                    &mut seen,
                    (operation.process, *loss),
                    operation.end,
                    operation.id,
                );
            }
        }
    }
    seen
}

fn see(
    seen: &mut BTreeMap<(Symbol, usize), (u64, OpId)>,
    key: (Symbol, usize),
    time: u64,
    op: OpId,
) {
    let first = seen.entry(key).or_insert((time, op));
    if time < first.0 {
        *first = (time, op);
    }
}
