//! A history as JSON lines: reading and writing.

use std::io::{self, BufRead, Write};

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use thiserror::Error;

use super::event::{
    Accept, End, Event, FinalState, Function, Invoke, Knows, Loss, Mutation, OpId, Outcome,
    Rollback, Text,
};
use super::history::{History, Malformed};

/// Why a history could not be read. Every line number counts from 1.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ReadError {
    /// Reading itself failed.
    #[error("line {line}: cannot be read: {source}; check the file and try again")]
    Io {
        /// The line that was being read.
        line: u64,
        /// What the system said.
        source: io::Error,
    },
    /// The last line stops in the middle.
    #[error(
        "line {line}: is cut off ({cause}); the file ends in the middle of a line, so copy it \
         again, or have its writer finish"
    )]
    CutOff {
        /// The line.
        line: u64,
        /// What is missing.
        cause: String,
    },
    /// The line is not what the format says.
    #[error("line {line}: {cause}")]
    Line {
        /// The line.
        line: u64,
        /// What is wrong, and what to do.
        cause: String,
    },
    /// The line does not fit those before it.
    #[error("line {line}: {cause}")]
    Malformed {
        /// The line.
        line: u64,
        /// What is wrong, and what to do.
        cause: Malformed,
    },
    /// There is no final line.
    #[error(
        "line {line}: the history ends without a final line, so nothing tells what became of its \
         operations; add {{\"type\":\"final\",\"chain\":[…]}} with the state found at the end"
    )]
    NoFinal {
        /// The line after the last.
        line: u64,
    },
}

/// Reads a whole history, one line at a time. Time is linear in the text; memory
/// in the operations, the different prefixes that reads returned, and the longest
/// line (the final one). Blank lines are skipped.
///
/// # Errors
/// The first line that cannot be read, or that does not fit those before it.
pub fn read(mut input: impl BufRead) -> Result<History, ReadError> {
    let mut history = History::default();
    let mut line = 0;
    let mut buffer = Vec::new();
    loop {
        line += 1;
        buffer.clear();
        let read = input.read_until(b'\n', &mut buffer);
        if read.map_err(|source| ReadError::Io { line, source })? == 0 {
            break;
        }
        let whole = buffer.last() == Some(&b'\n');
        let text = match std::str::from_utf8(&buffer) {
            Ok(text) => text,
            Err(error) if !whole && error.error_len().is_none() => {
                return Err(ReadError::CutOff {
                    line,
                    cause: "a character is incomplete".into(),
                });
            }
            Err(_) => {
                let cause = "is not UTF-8; histories are JSON text in UTF-8".into();
                return Err(ReadError::Line { line, cause });
            }
        };
        if text.trim_ascii().is_empty() {
            continue;
        }
        let event = parse(text, &history).map_err(|problem| match problem {
            Problem::Json(error) if error.is_eof() && !whole => ReadError::CutOff {
                line,
                cause: error.to_string(),
            },
            Problem::Json(error) => {
                // The error counts lines within this one; only its column helps.
                let cause = error
                    .to_string()
                    .replace(" at line 1 column ", " at column ");
                let cause = format!("is not a line of a history: {cause}; correct it");
                ReadError::Line { line, cause }
            }
            Problem::Format(cause) => ReadError::Line { line, cause },
        })?;
        history
            .push(&event)
            .map_err(|cause| ReadError::Malformed { line, cause })?;
    }
    if history.final_state().is_some() {
        Ok(history)
    } else {
        Err(ReadError::NoFinal { line })
    }
}

enum Problem {
    Json(serde_json::Error),
    Format(String),
}

impl From<serde_json::Error> for Problem {
    fn from(error: serde_json::Error) -> Self {
        Problem::Json(error)
    }
}

impl From<String> for Problem {
    fn from(cause: String) -> Self {
        Problem::Format(cause)
    }
}

/// What decides how a line is parsed.
#[derive(Deserialize)]
struct Head<'a> {
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    f: Option<Text<'a>>,
}

/// An invoke line. Whatever else an event holds than a text `id` is skipped.
#[derive(Deserialize, Serialize)]
struct InvokeLine<'a> {
    time: u64,
    #[serde(borrow)]
    process: Text<'a>,
    op: OpId,
    f: Function,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    foreign: bool,
}

/// The event that an append is invoked with.
#[derive(Deserialize, Serialize)]
struct EventValue<'a> {
    #[serde(borrow)]
    id: Option<Text<'a>>,
}

/// The line of an end. What the value holds depends on the operation.
#[derive(Deserialize, Serialize)]
struct EndLine<'a> {
    time: u64,
    #[serde(borrow)]
    process: Text<'a>,
    op: OpId,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(borrow, skip_serializing_if = "Option::is_none")]
    error: Option<&'a RawValue>,
}

/// One line, typed. What an end's value must hold depends on what was invoked,
/// which `history` has.
fn parse<'a>(text: &'a str, history: &History) -> Result<Event<Text<'a>>, Problem> {
    let head: Head<'a> = serde_json::from_str(text)?;
    match &*head.kind {
        "invoke" => {
            let line: InvokeLine<'a> = serde_json::from_str(text)?;
            let event = line.value.map(RawValue::get).map(serde_json::from_str);
            let event: Option<EventValue<'a>> = event.transpose().unwrap_or(None);
            Ok(Event::Invoke(Invoke {
                time: line.time,
                process: line.process,
                op: line.op,
                f: line.f,
                id: event.and_then(|event| event.id),
                foreign: line.foreign,
            }))
        }
        kind @ ("ok" | "fail" | "unknown") => {
            let line: EndLine<'a> = serde_json::from_str(text)?;
            let index = history.index_of(line.op);
            let index = index.ok_or_else(|| Malformed::EndWithoutInvoke(line.op).to_string())?;
            let f = history.operations()[index].f;
            if let Some(said) = head.f.filter(|said| **said != *f.name()) {
                let cause = format!("op {} was invoked as {f} and ends as {:?}", line.op, &*said);
                return Err(Problem::Format(format!("{cause}; name one f on both")));
            }
            let attempt = || {
                let value = line.value.filter(|_| f == Function::Mutate);
                value.map(|value| serde_json::from_str::<Mutation<Text<'a>>>(value.get()))
            };
            let outcome = match kind {
                "ok" => answer(f, line.value)?,
                "fail" => Outcome::Failed(attempt().transpose()?),
                _ => Outcome::Unknown(attempt().transpose()?),
            };
            Ok(Event::End(End {
                time: line.time,
                process: line.process,
                op: line.op,
                outcome,
                error: line.error.map(error_text),
            }))
        }
        "loss" => Ok(Event::Loss(serde_json::from_str::<Loss<_>>(text)?)),
        "rollback" => Ok(Event::Rollback(serde_json::from_str::<Rollback<_>>(text)?)),
        "knows" => Ok(Event::Knows(serde_json::from_str::<Knows<_>>(text)?)),
        "accept" => Ok(Event::Accept(serde_json::from_str::<Accept<_>>(text)?)),
        "final" => {
            let state: FinalState<_> = serde_json::from_str(text)?;
            if state.chain.is_none() && state.tokens.is_none() {
                let cause = "a final line needs \"chain\", \"tokens\" or both; add what was found";
                return Err(Problem::Format(cause.into()));
            }
            Ok(Event::Final(state))
        }
        other => Err(Problem::Format(format!(
            "type is invoke, ok, fail, unknown, loss, rollback, accept, knows or final, not {other:?}; correct it"
        ))),
    }
}

fn answer<'a>(f: Function, value: Option<&'a RawValue>) -> Result<Outcome<Text<'a>>, Problem> {
    let Some(value) = value.map(RawValue::get) else {
        let cause = "a line of type ok needs \"value\"; add it";
        return Err(Problem::Format(cause.into()));
    };
    Ok(match f {
        Function::Append => Outcome::Appended(serde_json::from_str(value)?),
        Function::ReadChain => Outcome::Chain(serde_json::from_str(value)?),
        Function::Mutate => Outcome::Mutated(serde_json::from_str(value)?),
        _ => Outcome::Tokens(serde_json::from_str(value)?),
    })
}

/// An error's text; errors that are not texts are kept as JSON.
fn error_text(error: &RawValue) -> Text<'_> {
    serde_json::from_str(error.get()).unwrap_or_else(|_| error.get().into())
}

/// Writes a whole history, one line an event. What it writes, [`read`] reads back
/// as the same history.
///
/// # Errors
/// What the output says.
pub fn write(history: &History, mut output: impl Write) -> io::Result<()> {
    for event in history.events() {
        write_event(&event, &mut output)?;
    }
    Ok(())
}

/// Writes one line, newline included.
fn write_event(event: &Event<Text<'_>>, output: &mut impl Write) -> io::Result<()> {
    match event {
        Event::Invoke(invoke) => {
            let id = invoke.id.as_deref().map(Text::from);
            let value = id.map(|id| to_raw_value(&EventValue { id: Some(id) }));
            let value = value.transpose()?;
            let line = InvokeLine {
                time: invoke.time,
                process: (&*invoke.process).into(),
                op: invoke.op,
                f: invoke.f,
                value: value.as_deref(),
                foreign: invoke.foreign,
            };
            write_line("invoke", &line, output)
        }
        Event::End(end) => {
            let value = match &end.outcome {
                Outcome::Appended(appended) => Some(to_raw_value(appended)?),
                Outcome::Chain(read) => Some(to_raw_value(read)?),
                Outcome::Tokens(read) => Some(to_raw_value(read)?),
                other => other.mutation().map(to_raw_value).transpose()?,
            };
            let error = end.error.as_ref().map(to_raw_value).transpose()?;
            let line = EndLine {
                time: end.time,
                process: (&*end.process).into(),
                op: end.op,
                value: value.as_deref(),
                error: error.as_deref(),
            };
            write_line(end.outcome.kind(), &line, output)
        }
        Event::Loss(loss) => write_line("loss", loss, output),
        Event::Rollback(rollback) => write_line("rollback", rollback, output),
        Event::Knows(knows) => write_line("knows", knows, output),
        Event::Accept(accept) => write_line("accept", accept, output),
        Event::Final(state) => write_line("final", state, output),
    }
}

fn write_line(kind: &str, body: &impl Serialize, output: &mut impl Write) -> io::Result<()> {
    #[derive(Serialize)]
    struct Line<'a, B> {
        #[serde(rename = "type")]
        kind: &'a str,
        #[serde(flatten)]
        body: &'a B,
    }
    serde_json::to_writer(&mut *output, &Line { kind, body })?;
    output.write_all(b"\n")
}
