//! A schedule as a file: JSON with one fault or operation a line, so that it
//! can be read, edited and compared.

use std::fmt::Write;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Fault, Knobs, LONGEST_MS, Operation, Schedule};
use haechi_history::check::Invariant;

/// The format that this version reads and writes.
const FORMAT: u32 = 2;

/// A schedule, its store, and the violation it shows.
#[derive(Clone, Debug)]
pub struct Document {
    /// The store, by its name.
    pub store: String,
    /// The invariant that the store violates, if known.
    pub violates: Option<Invariant>,
    /// Knobs, faults and operations.
    pub schedule: Schedule,
}

/// Why a file is not a schedule, or not a plan of faults.
#[derive(Debug, thiserror::Error)]
#[error("this is no {what}: {why}")]
pub struct Unreadable {
    what: &'static str,
    why: String,
}

impl Unreadable {
    fn schedule(why: String) -> Self {
        let what = "schedule that haechi-sim can replay";
        Self { what, why }
    }

    pub(super) fn plan(why: String) -> Self {
        let what = "plan of faults that haechi-sim can serve";
        Self { what, why }
    }
}

#[derive(Deserialize)]
pub(super) struct Format {
    pub(super) format: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(rename = "format")]
    _format: u32,
    store: String,
    #[serde(default)]
    violates: Option<String>,
    world: Knobs,
    faults: Vec<Fault>,
    operations: Vec<Placed>,
}

#[derive(Deserialize, Serialize)]
struct Placed {
    replica: usize,
    #[serde(flatten)]
    operation: Operation,
}

impl Document {
    /// Reads a schedule, and refuses one that cannot be run.
    ///
    /// # Errors
    ///
    /// When the text is not a valid schedule.
    pub fn parse(text: &str) -> Result<Self, Unreadable> {
        let unreadable = |error: serde_json::Error| Unreadable::schedule(error.to_string());
        let Format { format } = serde_json::from_str(text).map_err(unreadable)?;
        if format != FORMAT {
            return Err(Unreadable::schedule(format!(
                "its format is {format}, and this version reads {FORMAT}"
            )));
        }
        let written: Written = serde_json::from_str(text).map_err(unreadable)?;
        let mut knobs = written.world;
        knobs.faults = written.faults;
        knobs.faults.sort_by_key(|fault| fault.at);
        knobs.ready().map_err(Unreadable::schedule)?;
        let mut operations = vec![Vec::new(); knobs.processes()];
        for Placed { replica, operation } in written.operations {
            if operation.longest_ms() > LONGEST_MS {
                return Err(Unreadable::schedule(format!(
                    "an operation of r{replica} names a number above {LONGEST_MS}"
                )));
            }
            operations
                .get_mut(replica)
                .ok_or_else(|| {
                    Unreadable::schedule(format!(
                        "an operation names r{replica}, which does not exist"
                    ))
                })?
                .push(operation);
        }
        Ok(Self {
            store: written.store,
            violates: match written.violates {
                Some(name) => Some(name.parse().map_err(Unreadable::schedule)?),
                None => None,
            },
            schedule: Schedule { knobs, operations },
        })
    }

    /// The text of the file.
    ///
    /// # Errors
    ///
    /// When a number has no JSON form.
    pub fn to_text(&self) -> serde_json::Result<String> {
        let schedule = &self.schedule;
        let mut text = String::from("{\n");
        let _ = writeln!(text, "  \"format\": {FORMAT},");
        let _ = writeln!(text, "  \"store\": \"{}\",", self.store);
        if let Some(invariant) = self.violates {
            let _ = writeln!(text, "  \"violates\": \"{}\",", invariant.name());
        }
        let knobs: Map<String, Value> =
            serde_json::from_str(&serde_json::to_string(&schedule.knobs)?)?;
        let knobs = knobs
            .iter()
            .map(|(name, value)| format!("\"{name}\": {value}"))
            .collect();
        list(&mut text, "world", ['{', '}'], knobs);
        let faults: serde_json::Result<_> = schedule
            .knobs
            .faults
            .iter()
            .map(serde_json::to_string)
            .collect();
        text.push_str(",\n");
        list(&mut text, "faults", ['[', ']'], faults?);
        let operations: serde_json::Result<_> = schedule
            .operations
            .iter()
            .enumerate()
            .flat_map(|(replica, operations)| {
                operations.iter().map(move |operation| Placed {
                    replica,
                    operation: operation.clone(),
                })
            })
            .map(|placed| serde_json::to_string(&placed))
            .collect();
        text.push_str(",\n");
        list(&mut text, "operations", ['[', ']'], operations?);
        text.push_str("\n}\n");
        Ok(text)
    }
}

/// A member with one line per part.
pub(super) fn list(text: &mut String, name: &str, brackets: [char; 2], lines: Vec<String>) {
    let _ = write!(text, "  \"{name}\": {}", brackets[0]);
    for (number, line) in lines.iter().enumerate() {
        let comma = if number == 0 { "" } else { "," };
        let _ = write!(text, "{comma}\n    {line}");
    }
    if !lines.is_empty() {
        text.push_str("\n  ");
    }
    text.push(brackets[1]);
}
