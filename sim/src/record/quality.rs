//! Quality of service: how often callers are told *unknown*, and how often the store
//! tries and conflicts, stays below ceilings.

use std::{collections::BTreeMap, time::Duration};

use haechi_history::{
    Function, OpId, Operation, Outcome,
    check::{Invariant, Violation},
};

use super::{RunReport, data_loss::OPERATOR, final_state::violation};
use crate::plan::{FaultClass, Knobs, ProcessFault, ServerFault, TICK_MS};

/// What a caller is told that dropped the future.
pub(crate) const CANCELLED: &str = "the caller dropped the future";
/// What is recorded for a call whose process died.
pub(super) const DIED: &str = "the process died";

/// What a caller is told, among other words, whose sink was closed in less time than
/// the reply took.
const CLOSED: &str = "the sink was closed";

/// What a caller is told whose mutation has outlived its receipt.
const FORGOTTEN: &str = "receipt is no longer kept";

/// Attempts for one append and for one mutation.
const ATTEMPTS: (u64, u64) = (250, 80);
/// Conflicts for each batch and each mutation that was applied, and how many of them
/// there have to be for a ratio.
const CONFLICTS: (u64, u64) = (8, 12);
const ENOUGH: u64 = 50;

/// Deadlines of fewer round trips than this are left out, and fewer receipts where the
/// clock by which they are kept jumps: there an outcome can be impossible to find out. In
/// the last quarter of a deadline, that is a connection that is opened and checked, and a
/// script that is not loaded yet: six.
const ROUND_TRIPS: u64 = 24;
const RECEIPTS: u64 = 200;

/// Mutations of one process that are under way at a time, and a batch of its appends.
const AT_ONCE: usize = 256;

/// What the caller of a mutation takes at least while it waits.
const CALLER_BYTES: usize = 1 << 10;
/// What is on its way, in one batch, besides what waits.
const IN_FLIGHT_BYTES: usize = 1 << 20;

/// How many in a hundred operations may end unknown because of such faults. About
/// twice the most that 5,000 seeds of the correct store had.
fn unknown_percent(class: FaultClass) -> u64 {
    match class {
        FaultClass::Lock => 0,
        FaultClass::Replica => 15,
        FaultClass::Network => 25,
        FaultClass::Redis => 35,
        FaultClass::DataLoss => 40,
    }
}

/// Checks a run against the ceilings for the faults that struck; without any, no
/// caller is told *unknown*.
pub(super) fn check(report: &RunReport, knobs: &Knobs) -> Vec<Violation> {
    let mut passed = Vec::new();
    passed.extend(check_unknown(report, knobs));
    if report.faults.is_empty() {
        passed.extend(check_overload(report, knobs));
    } else {
        passed.extend(check_deadlines(report, knobs));
    }
    let (stats, vault) = (&report.stats, &report.vault_stats);
    // Each batch of the callers at once may come first, where nobody takes a lock.
    let batches = (knobs.load / knobs.batch_records.max(1)) as u64;
    let vault_conflicts = vault.value_conflicts + vault.version_conflicts;
    for (what, count, ceiling) in [
        (
            "attempts for one append",
            stats.most_attempts,
            ATTEMPTS.0.max(batches),
        ),
        ("attempts for one mutation", vault.most_attempts, ATTEMPTS.1),
        (
            "conflicts for all batches",
            stats.conflicts,
            CONFLICTS.0 * stats.batches.max(ENOUGH),
        ),
        (
            "conflicts for all mutations",
            vault_conflicts,
            CONFLICTS.1 * vault.committed.max(ENOUGH),
        ),
    ] {
        if count > ceiling {
            let reason = format!("{count} {what}; at most {ceiling} are allowed");
            passed.push(violation(Invariant::QualityOfService, reason));
        }
    }
    passed
}

/// How many round trips a deadline has time for.
pub(super) fn round_trips(knobs: &Knobs) -> u64 {
    knobs.deadline / (2 * knobs.latency.1 + 10)
}

/// Without faults a reply is waited for long enough, and an append ends by its deadline.
fn check_overload(report: &RunReport, knobs: &Knobs) -> Option<Violation> {
    let overload = |ops, reason| {
        Some(Violation {
            invariant: Invariant::Overload,
            ops,
            reason,
        })
    };
    let lost = report.stats.lost_replies + report.vault_stats.lost_replies;
    // A script that is not loaded takes three round trips.
    let reply_round_trips = knobs.timeouts.1 / (2 * knobs.latency.1 + 10);
    if lost > 0 && round_trips(knobs) >= ROUND_TRIPS && reply_round_trips > 5 {
        return overload(
            Vec::new(),
            format!("{lost} replies were given up without any fault"),
        );
    }
    if let Some(late) = late_append(report, knobs) {
        return overload(
            vec![late.id],
            "an append ended after its deadline without any fault".to_owned(),
        );
    }
    let operations = report.history.operations();
    if let Some((starved, later)) = starved(operations) {
        return overload(
            vec![starved],
            format!("it was not applied in time, and {later} that began later were"),
        );
    }
    let bytes = most_bytes(operations, knobs);
    if knobs.queue_bytes > 0 && bytes > knobs.queue_bytes {
        return overload(
            Vec::new(),
            format!(
                "callers waited with {bytes} bytes; at most {} may",
                knobs.queue_bytes
            ),
        );
    }
    None
}

/// An append or mutation that failed, and how many of the same process that began after it
/// were applied before, if that is more than those that can be under way with it.
fn starved(operations: &[Operation]) -> Option<(OpId, usize)> {
    let mut of_callers = BTreeMap::<_, Vec<&Operation>>::new();
    for operation in operations {
        let is_write = matches!(operation.f, Function::Append | Function::Mutate);
        // Who is refused at once does not wait.
        if is_write && operation.end > operation.start {
            let callers = of_callers.entry((operation.process, operation.f));
            callers.or_default().push(operation);
        }
    }
    for callers in of_callers.values() {
        // When each that began later was applied, from the last one back.
        let mut applied: Vec<u64> = Vec::new();
        for operation in callers.iter().rev() {
            match operation.outcome {
                Outcome::Appended(_) | Outcome::Mutated(_) => {
                    let place = applied.partition_point(|end| *end < operation.end);
                    applied.insert(place, operation.end);
                }
                Outcome::Failed(_) => {
                    let later = applied.partition_point(|end| *end < operation.end);
                    if later > AT_ONCE {
                        return Some((operation.id, later));
                    }
                }
                _ => {}
            }
        }
    }
    None
}

/// The most bytes with which the callers of one process waited for appends, the batch on
/// its way apart, or for mutations.
fn most_bytes(operations: &[Operation], knobs: &Knobs) -> usize {
    let mut changes = BTreeMap::<_, Vec<(u64, bool)>>::new();
    for operation in operations {
        if operation.end > operation.start {
            let callers = changes.entry((operation.process, operation.f)).or_default();
            callers.extend([(operation.start, true), (operation.end, false)]);
        }
    }
    let mut most = 0;
    for ((_, f), mut changes) in changes {
        let (each, besides) = match f {
            Function::Append => (knobs.padding, IN_FLIGHT_BYTES),
            Function::Mutate => (CALLER_BYTES, 0),
            _ => continue,
        };
        // Whoever leaves makes room for whoever comes.
        changes.sort_unstable();
        let mut waiting = 0_usize;
        for (_, comes) in changes {
            waiting = if comes {
                waiting + 1
            } else {
                waiting.saturating_sub(1)
            };
            most = most.max((waiting * each).saturating_sub(besides));
        }
    }
    most
}

/// An append that ended after its deadline, in simulated time. An operator looks first, and
/// has the deadline for the record alone.
fn late_append<'a>(report: &'a RunReport, knobs: &Knobs) -> Option<&'a Operation> {
    if knobs.real_time {
        return None;
    }
    let limit = Duration::from_millis(knobs.deadline + 2 * TICK_MS);
    let is_late = |operation: &&Operation| {
        let took = operation.end.saturating_sub(operation.start);
        operation.f == Function::Append
            && !operation.is_open()
            && !report.history.text(operation.process).starts_with(OPERATOR)
            && Duration::from_nanos(took) > limit
    };
    report.history.operations().iter().find(is_late)
}

/// Whatever is slow, an append ends by its deadline, its anchor missing perhaps, unless its
/// process is paused.
fn check_deadlines(report: &RunReport, knobs: &Knobs) -> Option<Violation> {
    if report.faults.contains_key(&ProcessFault::Pause.into()) {
        return None;
    }
    let late = late_append(report, knobs)?;
    Some(Violation {
        invariant: Invariant::QualityOfService,
        ops: vec![late.id],
        reason: "an append ended after its deadline".to_owned(),
    })
}

fn check_unknown(report: &RunReport, knobs: &Knobs) -> Option<Violation> {
    let receipts = knobs
        .vault
        .as_ref()
        .map_or(RECEIPTS, |vault| vault.receipts);
    let jumps = report
        .faults
        .contains_key(&ServerFault::ServerClockJump.into());
    if round_trips(knobs) < ROUND_TRIPS || (jumps && receipts < RECEIPTS) {
        return None;
    }
    let history = &report.history;
    let was_told = |operation: &&Operation| {
        let error = operation.error.map(|error| history.text(error));
        matches!(operation.outcome, Outcome::Unknown(_))
            && !history.is_foreign(operation.process)
            && error
                .is_some_and(|error| error != CANCELLED && error != DIED && !error.contains(CLOSED))
    };
    let all = history.operations().iter();
    let forgotten = |operation: &Operation| {
        let error = operation.error.map(|error| history.text(error));
        error.is_some_and(|error| error.contains(FORGOTTEN))
    };
    if !jumps && let Some(operation) = all.clone().find(|operation| forgotten(operation)) {
        return Some(Violation {
            invariant: Invariant::QualityOfService,
            ops: vec![operation.id],
            reason: "a receipt was gone before the deadline of its mutation".to_owned(),
        });
    }
    let mut unknown = all.filter(was_told).peekable();
    let first = unknown.peek().map(|operation| operation.id)?;
    let (unknown, all) = (unknown.count() as u64, history.operations().len() as u64);
    let struck = report.faults.keys().map(|kind| kind.class());
    let percent = struck.map(unknown_percent).max().unwrap_or(0);
    if unknown * 100 <= percent * all.max(ENOUGH) {
        return None;
    }
    let reason = format!(
        "{unknown} of {all} operations ended unknown; with these faults {percent} in a hundred may"
    );
    Some(Violation {
        invariant: if report.faults.is_empty() {
            Invariant::Overload
        } else {
            Invariant::QualityOfService
        },
        ops: vec![first],
        reason,
    })
}
