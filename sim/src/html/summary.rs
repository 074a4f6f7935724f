//! Many runs as data for their summary.

use std::{collections::BTreeMap, time::Duration};

use haechi_history::Function;
use serde_json::{Value, json};
use strum::VariantArray;

use super::{Heading, View, kind, page};
use crate::{
    plan::{FaultClass, FaultKind, WorldOptions},
    record::{Ending, Mark, RunReport, Situation},
    runner::Summary,
};

/// A seed that fails, and how to go on.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) seed: u64,
    /// Violations, and errors of the harness.
    pub(crate) reasons: Vec<String>,
    pub(crate) commands: Vec<String>,
}

impl Failure {
    /// What fails in a run.
    pub(crate) fn of(run: &RunReport, commands: Vec<String>) -> Self {
        let errors = run.harness_errors.iter();
        let errors = errors.map(|error| format!("error of the harness: {error}"));
        let violations = run.violations.iter();
        let violations = violations.map(|found| format!("{}: {}", found.invariant, found.reason));
        Self {
            seed: run.seed,
            reasons: errors.chain(violations).collect(),
            commands,
        }
    }
}

/// The page of many runs, with the timeline of one of them.
pub(crate) fn summary(
    heading: &Heading,
    sum: &Summary,
    options: &WorldOptions,
    wall: Duration,
    failures: &[Failure],
    view: Option<View<'_>>,
) -> String {
    let mut parts = vec![("summary", value(sum, options, wall, failures))];
    if let Some(view) = view {
        parts.push(("views", vec![view.value()].into()));
    }
    page(heading, parts)
}

fn value(sum: &Summary, options: &WorldOptions, wall: Duration, failures: &[Failure]) -> Value {
    let failures = failures.iter().map(|failure| {
        json!({
            "seed": failure.seed,
            "reasons": failure.reasons,
            "commands": failure.commands,
        })
    });
    let outcomes = |outcomes: crate::record::Outcomes| json!({ "ok": outcomes.ok, "fail": outcomes.fail, "unknown": outcomes.unknown });
    let unreached = sum.unreached(options);
    json!({
        "verdict": <&str>::from(sum.verdict()),
        "worlds": sum.seeds,
        "failed": sum.failed.len() + sum.harness_errors.len(),
        "ops": outcomes(sum.outcomes),
        "vaultOps": outcomes(sum.vault_outcomes),
        "simulatedMs": millis(sum.simulated),
        "wallMs": millis(wall),
        "perCore": sum.seeds_per_core_second(),
        "failures": failures.collect::<Vec<_>>(),
        "detections": sum.detections,
        "faults": faults(sum, options),
        "crossed": crossed(sum, options),
        "situations": situations(sum, options),
        "marks": { "met": sum.marks.len(), "unmet": texts(&unreached) },
        "losses": losses(sum),
    })
}

fn texts(marks: &[Mark]) -> Vec<String> {
    marks.iter().map(ToString::to_string).collect()
}

/// How often a mark was reached; `None` if runs with these options do not reach it.
fn count(sum: &Summary, options: &WorldOptions, mark: Mark) -> Option<u64> {
    let count = sum.marks.get(&mark).copied();
    count.or_else(|| mark.is_reachable(options).then_some(0))
}

/// For each fault, in how many operations it struck, by how they ended.
fn faults(sum: &Summary, options: &WorldOptions) -> Vec<Value> {
    let row = |fault: FaultKind| {
        let during = |ending: &Ending| count(sum, options, Mark::During(fault, *ending));
        let counts: Vec<_> = Ending::VARIANTS.iter().map(during).collect();
        let mut row = kind(fault);
        row["struck"] = json!(sum.faults.get(&fault).copied().unwrap_or(0));
        row["counts"] = json!(counts);
        row
    };
    FaultKind::all().map(row).collect()
}

/// For each function and how it ended, in how many operations faults of each class
/// struck.
fn crossed(sum: &Summary, options: &WorldOptions) -> Value {
    let classes = FaultClass::VARIANTS;
    let mut rows = Vec::new();
    for f in Function::VARIANTS {
        for ending in Ending::VARIANTS {
            let crossed =
                |class: &FaultClass| count(sum, options, Mark::Crossed(*f, *ending, *class));
            let counts: Vec<_> = classes.iter().map(crossed).collect();
            let ending: &str = ending.into();
            rows.push(json!({ "f": f.name(), "ending": ending, "counts": counts }));
        }
    }
    let classes: Vec<&str> = classes.iter().map(Into::into).collect();
    json!({ "classes": classes, "rows": rows })
}

fn situations(sum: &Summary, options: &WorldOptions) -> Vec<(&'static str, Option<u64>)> {
    let situations = Situation::VARIANTS.iter();
    let count =
        |situation: &Situation| (situation.into(), count(sum, options, Mark::Met(*situation)));
    situations.map(count).collect()
}

fn losses(sum: &Summary) -> Vec<Value> {
    let struck: BTreeMap<_, _> = sum
        .faults
        .iter()
        .map(|(kind, n)| (kind.name(), *n))
        .collect();
    let losses = sum.losses.iter().map(|(fault, account)| {
        json!({
            "fault": fault,
            "struck": struck.get(fault.as_str()).copied().unwrap_or(0),
            "seen": account.seen(),
            "said": account.said,
            "idle": account.idle,
            "silent": account.silent,
        })
    });
    losses.collect()
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
