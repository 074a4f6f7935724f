//! The output of `audit append`: a line for each append, and a summary.

use std::{fmt::Write as _, io, time::Duration};

use haechi_store_redis::{
    AppendError, DurabilityStatus,
    audit::{AnchorStatus, Appended},
    chain::Position,
    clock::{Clock, SystemClock},
};
use serde::Serialize;
use tokio::io::{AsyncWriteExt, Stdout};

use crate::{
    audit_append::Ending,
    console::Console,
    exit::{Exit, Failure},
    input::BadInput,
};

/// Why no more events were read.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The input is at its end.
    End,
    /// The input is invalid.
    Bad(BadInput),
    /// An append failed.
    Failed,
    /// The process was interrupted.
    Interrupted,
    /// Tickets could not be made or written.
    Tickets(String),
    /// Stdout is closed.
    StdoutGone,
}

/// Results for stdout, and their sums.
///
/// Stdout is written on another thread: a slow reader must not delay the
/// handling of Redis's replies.
pub(crate) struct Report {
    clock: SystemClock,
    /// The address of Redis.
    place: String,
    stdout: Stdout,
    buffer: String,
    stdout_is_gone: bool,
    last: Option<Position>,
    last_line: u64,
    first_failure: Option<(u64, AppendError)>,
    anchors_failed: bool,
    sums: Sums,
}

#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Sums {
    appended: u64,
    not_applied: u64,
    unknown: u64,
    not_yet_durable: u64,
    anchors_missing: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bad_line: Option<u64>,
    head_sequence: Option<u64>,
    seconds: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct FailureLine<'a> {
    line: u64,
    outcome: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    handle: Option<String>,
    reason: String,
}

/// The size at which results are written.
const LONG: usize = 1 << 16;

impl Report {
    /// A report of appends to the Redis at `place`.
    pub(crate) fn new(place: String) -> Self {
        Self {
            clock: SystemClock::new(),
            place,
            stdout: tokio::io::stdout(),
            buffer: String::with_capacity(2 * LONG),
            stdout_is_gone: false,
            last: None,
            last_line: 0,
            first_failure: None,
            anchors_failed: false,
            sums: Sums::default(),
        }
    }

    /// Adds the outcome of the next append, in the order of the input.
    pub(crate) fn ended(&mut self, line: u64, ending: Ending) {
        self.last_line = line;
        match ending {
            Ok(appended) => self.applied(line, &appended),
            Err(error) => self.failed(line, error),
        }
    }

    fn applied(&mut self, line: u64, appended: &Appended) {
        let Appended {
            position,
            durability,
            anchor,
        } = appended;
        self.sums.appended += 1;
        self.last = Some(*position);
        let Position {
            sequence,
            event_hash,
        } = position;
        // Writing to a String never fails.
        let _ = write!(
            self.buffer,
            r#"{{"sequence":{sequence},"eventHash":"{event_hash}""#
        );
        if self.has_failure() {
            let _ = write!(self.buffer, r#","line":{line},"outcome":"applied""#);
        }
        let mut reason = None;
        if let AnchorStatus::Missing(why) = anchor {
            self.sums.anchors_missing += 1;
            self.buffer.push_str(r#","anchor":"missing""#);
            reason = Some(why);
        }
        if let DurabilityStatus::NotYet(why) = durability {
            self.sums.not_yet_durable += 1;
            self.buffer.push_str(r#","durability":"not_yet""#);
            // That of the anchor, too.
            reason = Some(why);
        }
        if let Some(why) = reason {
            let why = serde_json::Value::from(why.as_str());
            let _ = write!(self.buffer, r#","reason":{why}"#);
        }
        self.buffer.push_str("}\n");
    }

    fn failed(&mut self, line: u64, error: AppendError) {
        let (outcome, handle) = match &error {
            AppendError::Unknown { handle, .. } => {
                self.sums.unknown += 1;
                ("unknown", Some(handle.to_string()))
            }
            _ => {
                self.sums.not_applied += 1;
                ("not_applied", None)
            }
        };
        self.json_line(&FailureLine {
            line,
            outcome,
            handle,
            reason: error.to_string(),
        });
        self.first_failure.get_or_insert((line, error));
    }

    fn json_line(&mut self, value: &impl Serialize) {
        // Strings and numbers always serialize.
        self.buffer
            .push_str(&serde_json::to_string(value).unwrap_or_default());
        self.buffer.push('\n');
    }

    pub(crate) fn count(&self) -> u64 {
        self.sums.appended
    }

    pub(crate) fn has_failure(&self) -> bool {
        self.first_failure.is_some()
    }

    pub(crate) fn is_long(&self) -> bool {
        self.buffer.len() >= LONG
    }

    /// Writes the collected results; drops them once stdout is closed.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        if !self.buffer.is_empty() && !self.stdout_is_gone {
            let written = async {
                self.stdout.write_all(self.buffer.as_bytes()).await?;
                self.stdout.flush().await
            };
            if let Err(error) = written.await {
                self.stdout_is_gone = true;
                self.buffer.clear();
                return Err(error);
            }
        }
        self.buffer.clear();
        Ok(())
    }

    /// Whether anchors could not be written, also such that no append waited
    /// for.
    pub(crate) fn anchors_failed(&mut self, failed: bool) {
        self.anchors_failed = failed;
    }

    /// Prints the summary, once nothing is in flight.
    pub(crate) async fn finish(mut self, stop: &Stop, console: &Console) -> Result<Exit, Failure> {
        let took = self.clock.now();
        self.sums.seconds = (took.as_secs_f64() * 1000.0).round() / 1000.0;
        self.sums.head_sequence = self.last.map(|last| last.sequence.get());
        if let Stop::Bad(BadInput::Line { number, .. }) = stop {
            self.sums.bad_line = Some(*number);
        }
        if console.json() {
            let summary = serde_json::json!({ "summary": &self.sums });
            self.json_line(&summary);
        }
        let _ = self.flush().await;

        let complaint = self.complaint(stop);
        self.print_failure(console);
        if self.sums.not_yet_durable > 0 {
            console.warn(&format!(
                "{} records are applied, but not yet as durable as asked; the lines with \
                 \"durability\":\"not_yet\" say why. Do not append their events again",
                self.sums.not_yet_durable
            ));
        }
        if self.sums.anchors_missing > 0 {
            console.warn(&format!(
                "{} records are applied, but their anchors could not be written; the lines with \
                 \"anchor\":\"missing\" say why. Do not append their events again",
                self.sums.anchors_missing
            ));
        } else if self.anchors_failed {
            console.warn(
                "anchors of earlier records could not be written, or those records not be read \
                 or not be linked to the last anchor; look at the disk, and run \
                 `haechi-store audit verify`",
            );
        }
        if let Some(complaint) = &complaint {
            console.error(complaint);
        }
        console.note(&self.summary(took));
        Ok(match stop {
            _ if self.sums.unknown > 0 => Exit::Unknown,
            Stop::Bad(BadInput::Read { after: 0, .. }) => Exit::Error,
            _ if complaint.is_some() || self.has_failure() => Exit::Negative,
            _ => Exit::Success,
        })
    }

    /// The error besides failed appends.
    fn complaint(&self, stop: &Stop) -> Option<String> {
        let next = self.last_line + 1;
        Some(match stop {
            Stop::Bad(BadInput::Line { number, error }) => format!(
                "line {number}: {error}. Neither this line nor any after it was tried; correct it \
                 and {}",
                append_from(*number)
            ),
            Stop::Bad(BadInput::Read { after, error }) => format!(
                "stdin could not be read after line {after}: {error}. No line after it was tried; {}",
                append_from(after + 1)
            ),
            Stop::Interrupted => format!(
                "interrupted: no line after {} was tried; {}",
                self.last_line,
                append_from(next)
            ),
            Stop::Tickets(error) => format!(
                "tickets cannot be written: {error}: no line after {} was tried; make room for \
                 them and {}",
                self.last_line,
                append_from(next)
            ),
            Stop::StdoutGone => format!(
                "stdout was closed or cannot be written: no line after {} was tried, and the last \
                 results were not printed; {}",
                self.last_line,
                append_from(next)
            ),
            Stop::End | Stop::Failed if self.stdout_is_gone => {
                "stdout was closed or cannot be written: the last results were not printed"
                    .to_owned()
            }
            Stop::End | Stop::Failed => return None,
        })
    }

    fn print_failure(&self, console: &Console) {
        let Some((line, error)) = &self.first_failure else {
            return;
        };
        console.error(&format!("line {line}, Redis at {}: {error}", self.place));
        let Sums {
            not_applied,
            unknown,
            ..
        } = self.sums;
        let lines = match (not_applied, unknown, self.last_line) {
            (_, _, last) if last == *line => format!("no line after {line} was tried"),
            (_, 0, last) if not_applied == last - line + 1 => format!(
                "lines {line} to {last} were not applied and none after them was tried; \
                 append again from there on: tail -n +{line}"
            ),
            (_, _, last) => format!(
                "lines {line} to {last} were under way: stdout tells of each what became of it; \
                 none after them was tried"
            ),
        };
        console.note(&lines);
    }

    fn summary(&self, took: Duration) -> String {
        let Sums {
            appended,
            not_applied,
            unknown,
            ..
        } = self.sums;
        let rate = appended as f64 / took.as_secs_f64().max(1e-9);
        let mut text = format!(
            "{appended} appended in {:.2} s ({rate:.0} a second)",
            took.as_secs_f64()
        );
        if not_applied > 0 || unknown > 0 {
            let _ = write!(text, ", {not_applied} not applied, {unknown} unknown");
        }
        if let Some(last) = self.last {
            let _ = write!(text, "; the last is sequence {}", last.sequence);
        }
        text
    }
}

/// How to go on with the lines that were not tried.
fn append_from(line: u64) -> String {
    format!("append the rest: tail -n +{line} FILE | haechi-store audit append")
}
