//! Reports of a run, as JSON and as text.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::{
    plan::FaultKind,
    record::{Losses, RunReport, Verdict},
};

/// The first members of every report of a run.
pub(super) fn value(run: &RunReport) -> Map<String, Value> {
    let violations: Vec<_> = run
        .violations
        .iter()
        .map(|violation| {
            json!({
                "invariant": violation.invariant.name(),
                "ops": violation.ops.iter().map(|op| op.0).collect::<Vec<_>>(),
                "reason": violation.reason,
            })
        })
        .collect();
    let mut members = Map::new();
    members.insert("seed".into(), json!(run.seed));
    members.insert("verdict".into(), verdict(run.verdict()));
    members.insert("violations".into(), json!(violations));
    if !run.harness_errors.is_empty() {
        let errors: Vec<_> = run.harness_errors.iter().map(ToString::to_string).collect();
        members.insert("harnessErrors".into(), json!(errors));
    }
    members
}

/// A verdict.
pub(super) fn verdict(verdict: Verdict) -> Value {
    json!(<&str>::from(verdict))
}

/// How often each fault struck.
pub(super) fn faults<'a>(faults: impl IntoIterator<Item = (&'a FaultKind, &'a u64)>) -> Value {
    let faults = faults.into_iter();
    let faults = faults.map(|(kind, count)| (kind.name().to_owned(), json!(count)));
    faults.collect::<Map<_, _>>().into()
}

/// Prints the violations and harness errors.
pub(super) fn explain(run: &RunReport) {
    for error in &run.harness_errors {
        eprintln!("  error of the harness, not of the store: {error}");
    }
    for violation in &run.violations {
        let ops: Vec<_> = violation.ops.iter().map(|op| op.0.to_string()).collect();
        eprintln!(
            "  {} (ops {}): {}",
            violation.invariant.name(),
            ops.join(", "),
            violation.reason
        );
    }
}

/// What processes did that had seen what a fault took, by fault.
pub(super) fn losses(losses: &Losses, faults: &BTreeMap<FaultKind, u64>) -> Map<String, Value> {
    let losses = losses.iter().map(|(fault, account)| {
        let value = json!({
            "struck": struck(faults, fault),
            "seen": account.seen(),
            "said": account.said,
            "idle": account.idle,
            "silent": account.silent,
        });
        (fault.clone(), value)
    });
    losses.collect()
}

/// Prints what processes did that had seen what a fault took.
pub(super) fn print_losses(losses: &Losses, faults: &BTreeMap<FaultKind, u64>) {
    if losses.is_empty() {
        return;
    }
    eprintln!(
        "  {:<26}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "data lost by", "struck", "seen by", "said so", "idle", "silent"
    );
    for (fault, account) in losses {
        eprintln!(
            "  {fault:<26}{:>8}{:>8}{:>8}{:>8}{:>8}",
            struck(faults, fault),
            account.seen(),
            account.said,
            account.idle,
            account.silent
        );
    }
    eprintln!(
        "  (seen by: processes that had seen what is lost; idle: those that wrote nothing afterwards)"
    );
}

/// How often a fault struck, by its name.
fn struck(faults: &BTreeMap<FaultKind, u64>, fault: &str) -> u64 {
    let mut struck = faults.iter();
    struck
        .find(|(kind, _)| kind.name() == fault)
        .map_or(0, |(_, count)| *count)
}
