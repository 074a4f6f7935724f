//! Reports of a run, as JSON and as text.

use std::{
    collections::BTreeMap,
    io::{self, IsTerminal, Write},
};

use haechi_history::{History, OpId};
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

/// The most violations of a run that are printed, and operations of each.
const PRINTED: usize = 5;

/// How wide text is.
const COLUMNS: usize = 80;

/// Prints text, on as many lines as it needs, those after the first further indented.
pub(super) fn print_wrapped(out: &mut dyn Write, indent: usize, text: &str) -> io::Result<()> {
    let mut line = " ".repeat(indent);
    let mut is_empty = true;
    for word in text.split(' ') {
        if !is_empty && line.chars().count() + 1 + word.chars().count() > COLUMNS {
            writeln!(out, "{line}")?;
            line = " ".repeat(indent + 2);
            is_empty = true;
        }
        if !is_empty {
            line.push(' ');
        }
        line += word;
        is_empty = false;
    }
    writeln!(out, "{line}")
}

/// Prints an event of a trace: on a terminal on as many lines as it needs, else on one, which
/// other programs read.
pub(super) fn print_event(out: &mut dyn Write, line: &str) -> io::Result<()> {
    match io::stdout().is_terminal() {
        true => print_wrapped(out, 0, line),
        false => writeln!(out, "{line}"),
    }
}

/// Prints the violations, each with its operations, and harness errors.
pub(super) fn explain(out: &mut dyn Write, run: &RunReport) -> io::Result<()> {
    for error in &run.harness_errors {
        let text = format!("error of the harness, not of the store: {error}");
        print_wrapped(out, 2, &text)?;
    }
    for violation in run.violations.iter().take(PRINTED) {
        let (invariant, reason) = (violation.invariant.name(), &violation.reason);
        print_wrapped(out, 2, &format!("{invariant}: {reason}"))?;
        for op in violation.ops.iter().take(PRINTED) {
            print_wrapped(out, 4, &operation(&run.history, *op))?;
        }
        if let Some(more) = violation.ops.len().checked_sub(PRINTED + 1) {
            writeln!(out, "    and {} operations more", more + 1)?;
        }
    }
    if let Some(more) = run.violations.len().checked_sub(PRINTED + 1) {
        writeln!(out, "  and {} violations more", more + 1)?;
    }
    Ok(())
}

/// An operation in a line.
fn operation(history: &History, op: OpId) -> String {
    let Some(index) = history.index_of(op) else {
        return format!("op {op}");
    };
    let operation = &history.operations()[index];
    let process = history.text(operation.process);
    let millis = |nanos: u64| nanos / 1_000_000;
    let (f, start) = (operation.f.name(), millis(operation.start));
    match operation.is_open() {
        true => format!("op {op}: {f} of {process}, from {start} ms, never ended"),
        false => {
            let (end, outcome) = (millis(operation.end), operation.outcome.kind());
            format!("op {op}: {f} of {process}, {start} to {end} ms, {outcome}")
        }
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
pub(super) fn print_losses(
    out: &mut dyn Write,
    losses: &Losses,
    faults: &BTreeMap<FaultKind, u64>,
) -> io::Result<()> {
    if losses.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "  {:<26}{:>8}{:>8}{:>8}{:>8}{:>8}",
        "data lost by", "struck", "seen by", "said so", "idle", "silent"
    )?;
    for (fault, account) in losses {
        writeln!(
            out,
            "  {fault:<26}{:>8}{:>8}{:>8}{:>8}{:>8}",
            struck(faults, fault),
            account.seen(),
            account.said,
            account.idle,
            account.silent
        )?;
    }
    let text = "(seen by: processes that had seen what is lost; idle: those that wrote nothing \
                afterwards)";
    print_wrapped(out, 2, text)
}

/// How often a fault struck, by its name.
fn struck(faults: &BTreeMap<FaultKind, u64>, fault: &str) -> u64 {
    let mut struck = faults.iter();
    struck
        .find(|(kind, _)| kind.name() == fault)
        .map_or(0, |(_, count)| *count)
}
