//! One run of a system as a page with its timeline.

use std::{collections::BTreeSet, time::Duration};

use serde_json::{Value, json};
use strum::VariantArray;

use super::{Call, Failure, Report, Summary, System, process::name, schedule::describe};
use crate::{
    html::{self, Heading},
    plan::FaultKind,
    record::{Ending, Mark, Verdict, nanos, replica_name},
};

impl<S: System> Report<S> {
    /// The run as an HTML page that loads nothing: a lane of each process with its calls, the faults,
    /// the violations, and the trace.
    /// `command` is told as the one that made it.
    #[must_use]
    pub fn to_html(&self, command: &str) -> String {
        self.page(command, None)
    }

    /// The same, below a summary of the search, which took `wall`: seeds to detection, and which
    /// faults struck in which calls, by how they ended.
    #[must_use]
    pub fn to_html_of_search(&self, command: &str, summary: &Summary, wall: Duration) -> String {
        let mut value = search(summary, wall);
        if !self.violations.is_empty() {
            // Its violations are shown above the timeline.
            let failure = json!({ "seed": self.seed, "reasons": [], "commands": [command] });
            value["failures"] = json!([failure]);
        }
        self.page(command, Some(value))
    }

    fn page(&self, command: &str, summary: Option<Value>) -> String {
        let name = std::any::type_name::<S>().rsplit("::").next();
        let name = name.unwrap_or_default();
        let heading = Heading {
            title: format!("{name}, seed {}", self.seed),
            command: command.to_owned(),
        };
        let mut parts = vec![("views", json!([self.view(name)]))];
        parts.extend(summary.map(|summary| ("summary", summary)));
        html::page(&heading, parts)
    }

    fn view(&self, name: &str) -> Value {
        let violations = self.violations.iter().map(|violation| {
            json!({
                "invariant": violation.name,
                "means": "",
                "ops": violation.calls,
                "reason": violation.reason,
            })
        });
        let faults = self.spans.iter().map(|span| {
            let mut value = mark(span.fault.kind, span.fault.replica, nanos(span.begins));
            value["end"] = json!(span.ends.map(nanos));
            value["text"] = json!(describe(&span.fault, span.server).trim_start());
            value
        });
        let strikes = self.strikes.iter().map(|fault| {
            let at = nanos(Duration::from_millis(fault.at));
            mark(fault.kind, fault.replica, at)
        });
        let trace = self.trace.iter().map(|line| {
            let (time, text) = line.trim_start().split_once(' ').unwrap_or(("", line));
            (time.parse().unwrap_or(0), text)
        });
        json!({
            "name": name,
            "ops": self.run.calls.iter().map(operation).collect::<Vec<_>>(),
            "chain": null,
            "version": null,
            "violations": violations.collect::<Vec<_>>(),
            "errors": self.error.iter().collect::<Vec<_>>(),
            "losses": [],
            "rollbacks": [],
            "faults": faults.collect::<Vec<_>>(),
            "strikes": strikes.collect::<Vec<_>>(),
            "trace": trace.collect::<Vec<(u64, &str)>>(),
            "tenures": [],
            "primaries": [],
        })
    }
}

fn search(sum: &Summary, wall: Duration) -> Value {
    let verdict = match (sum.failed.is_empty(), sum.errors.is_empty()) {
        (false, _) => Verdict::Violation,
        (true, false) => Verdict::HarnessError,
        (true, true) => Verdict::Ok,
    };
    let kinds: BTreeSet<_> = sum.faults.keys().chain(&sum.never).collect();
    let faults = kinds.into_iter().map(|fault| {
        let during = |ending| Mark::During(*fault, ending).to_string();
        let count = |ending: &Ending| sum.marks.get(&during(*ending)).copied().unwrap_or(0);
        let mut row = html::kind(*fault);
        row["struck"] = json!(sum.faults.get(fault).copied().unwrap_or(0));
        row["counts"] = Ending::VARIANTS.iter().map(count).collect();
        row
    });
    json!({
        "verdict": <&str>::from(verdict),
        "worlds": sum.runs,
        "failed": sum.failed.len(),
        "ops": sum.outcomes,
        "simulatedMs": sum.simulated.as_millis() as u64,
        "wallMs": wall.as_millis() as u64,
        "failures": [],
        "detections": sum.detections,
        "faults": faults.collect::<Vec<_>>(),
        "situations": sum.own_marks().collect::<Vec<_>>(),
        "losses": [],
    })
}

fn mark(kind: FaultKind, process: Option<usize>, start: u64) -> Value {
    let mut value = html::kind(kind);
    value["lane"] = json!(process.map(replica_name));
    value["start"] = json!(start);
    value
}

fn operation<O: std::fmt::Debug, A: std::fmt::Debug>(call: &Call<O, A>) -> Value {
    let lane = replica_name(call.process);
    let (outcome, text, is_error) = match &call.result {
        None => ("open", None, false),
        Some(Ok(answer)) => ("ok", Some(format!("{answer:?}")), false),
        Some(Err(Failure::NotApplied(reason))) => ("fail", Some(reason.clone()), true),
        Some(Err(Failure::Unknown(reason))) => ("unknown", Some(reason.clone()), true),
    };
    let mut value = json!({
        "id": call.id,
        "process": name(call.process, call.life),
        "lane": lane,
        "f": format!("{:?}", call.operation),
        "start": nanos(call.began),
        "outcome": outcome,
        "lines": text.iter().filter(|_| !is_error).collect::<Vec<_>>(),
        "tokens": [],
    });
    if let Some(ended) = call.ended {
        value["end"] = json!(nanos(ended));
    }
    if let Some(error) = text.filter(|_| is_error) {
        value["error"] = json!(error);
    }
    value
}
