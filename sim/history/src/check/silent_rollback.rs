//! `silent_rollback`: a process that had seen what a loss took goes on writing
//! without having said so.

use std::collections::BTreeMap;

use crate::{Appended, Known, OpId, Outcome, Symbol};

use super::accepted_loss::Acceptances;
use super::invariant::Invariant;
use super::loss_account::{Sights, Told};
use super::tree::Tree;
use super::verdict::Violation;
use super::view::{View, violation};

/// When a process first saw something that a loss took.
struct Sighting {
    time: u64,
    /// By which operation; `None` if it began with it.
    by: Option<OpId>,
    /// What it was told the hash of, unless it has read it.
    hash: Option<Symbol>,
    /// It had seen the chain up to this position at least.
    position: u64,
}

/// Linear in operations, but for the losses that a process has seen and not yet
/// owned up to. A process is reported once for each loss.
///
/// A process has seen a record if it was given its hash, by an acknowledgement or
/// a read, before the write in question began; the chain must not hold the record
/// in the end. The write is one acknowledged after the loss and applied after it:
/// it began after it, or took a position that its process knew to be taken. A
/// rollback reported between the loss and the acknowledgement clears the process,
/// of earlier losses too; but if it begins to write after that, or says nothing, the chain
/// needs a record from which it goes on, as long as what it had seen is gone.
pub(super) fn check(view: &View<'_>, tree: &Tree, violations: &mut Vec<Violation>) {
    violations.extend(find(view, tree).into_iter().map(|(_, violation)| violation));
}

/// What became of each sight of something that a loss took.
pub(super) fn sights(view: &View<'_>, tree: &Tree) -> Sights {
    let reported = reported(view);
    let said = |process: &Symbol, loss: usize| {
        // While two servers take writes, a process may say so before the loss is complete.
        let after = |time: &u64| *time >= view.history.losses()[loss].begins();
        reported
            .get(process)
            .is_some_and(|times| times.iter().any(after))
    };
    let mut sights: Sights = sightings(view, tree)
        .into_keys()
        .map(|(process, loss)| match said(&process, loss) {
            true => ((process, loss), Told::Said),
            false => ((process, loss), Told::Idle),
        })
        .collect();
    for (sight, _) in find(view, tree) {
        sights.insert(sight, Told::Silent);
    }
    sights
}

/// When each process reported a rollback of the chain.
fn reported(view: &View<'_>) -> BTreeMap<Symbol, Vec<u64>> {
    let mut reported: BTreeMap<Symbol, Vec<u64>> = BTreeMap::new();
    for rollback in view.history.rollbacks() {
        if let crate::Seen::Record { .. } = rollback.seen {
            reported
                .entry(rollback.process)
                .or_default()
                .push(rollback.time);
        }
    }
    reported
}

fn find(view: &View<'_>, tree: &Tree) -> Vec<((Symbol, usize), Violation)> {
    let losses = view.history.losses();
    let mut found = Vec::new();
    if losses.is_empty() {
        return found;
    }
    let mut seen = sightings(view, tree);
    let reported = reported(view);
    let acceptances = Acceptances::new(view);
    for write in view.operations() {
        let Some(Appended {
            sequence,
            event_hash,
            ..
        }) = write.appended()
        else {
            continue;
        };
        let process = write.process;
        let mut done = Vec::new();
        for (&(_, number), sight) in seen.range((process, 0)..=(process, usize::MAX)) {
            let loss = &losses[number];
            let times = reported.get(&process).map_or(&[][..], Vec::as_slice);
            let said = times
                .get(times.partition_point(|time| *time < loss.time))
                .copied();
            let has_said = said.is_some_and(|said| said < write.start);
            let stays_gone = |hash| acceptances.is_gone_for_good(hash);
            if has_said && !sight.hash.is_some_and(stays_gone) {
                done.push((process, number)); // Writes only begin later from here on.
                continue;
            }
            let after = loss.time < write.start
                || (loss.time <= write.end
                    && sequence <= sight.position
                    && view.loss_of(event_hash) != Some(number));
            let is_in_flight = !has_said && said.is_some_and(|said| said <= write.end);
            if !after || sight.time >= write.start || is_in_flight {
                continue;
            }
            if acceptances.excuse(write, sight.position) {
                done.push((process, number));
                continue;
            }
            let (op, by) = (write.id, sight.by);
            let (name, fault) = (view.history.text(process), view.text(loss.fault));
            let without = match has_said {
                true => "a record from which it goes on, though it had said so",
                false => "a word about it",
            };
            let by_what =
                by.map_or_else(|| "before it began".to_owned(), |by| format!("by op {by}"));
            let reason = format!(
                "{name} had seen {by_what} what {fault} took at {} ms, and append {op} was \
                 acknowledged without {without}",
                loss.time / 1_000_000
            );
            let ops = [op].into_iter().chain(by);
            let violation = violation(Invariant::SilentRollback, ops, reason);
            found.push(((process, number), violation));
            done.push((process, number));
        }
        for key in done {
            seen.remove(&key);
        }
    }
    found
}

/// By process and loss, the first sight of something that the loss took. Foreign
/// processes know of no rollbacks.
fn sightings(view: &View<'_>, tree: &Tree) -> BTreeMap<(Symbol, usize), Sighting> {
    let mut seen: BTreeMap<(Symbol, usize), Sighting> = BTreeMap::new();
    let mut see = |process: Symbol, loss: usize, sight: Sighting| {
        let key = (process, loss);
        if seen.get(&key).is_none_or(|first| sight.time < first.time) {
            seen.insert(key, sight);
        }
    };
    for known in view.history.known() {
        if let Known::Record {
            sequence,
            event_hash,
        } = known.what
            && let Some(loss) = view.loss_of(event_hash)
            && view.position(event_hash).is_none()
        {
            let sight = Sighting {
                time: known.time,
                by: None,
                hash: Some(event_hash),
                position: sequence,
            };
            see(known.process, loss, sight);
        }
    }
    for operation in view.operations() {
        if view.history.is_foreign(operation.process) {
            continue;
        }
        let sight = |position, hash| Sighting {
            time: operation.end,
            by: Some(operation.id),
            hash,
            position,
        };
        match &operation.outcome {
            Outcome::Appended(appended) => {
                let (sequence, event_hash) = (appended.sequence, appended.event_hash);
                if let Some(loss) = view.loss_of(event_hash)
                    && view.position(event_hash).is_none()
                {
                    see(operation.process, loss, sight(sequence, Some(event_hash)));
                }
            }
            Outcome::Chain(path) => {
                let length = view.history.paths().length(*path) as u64;
                for loss in tree.losses(*path) {
                    see(operation.process, loss, sight(length, None));
                }
            }
            _ => {}
        }
    }
    seen
}
