//! Reading a history from JSON lines.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, BufRead};
use std::marker::PhantomData;

use serde::Deserialize;
use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use thiserror::Error;

use super::event::{
    Answer, ChainEntry, Durability, End, Event, FinalState, Function, Loss, Mutation, OpId,
    TokenValues,
};
use super::store::{History, Malformed};

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
    if history.is_complete() {
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

/// A text borrowed from the line where it holds no escapes. (serde borrows a `Cow`
/// only where it stands by itself.)
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

fn texts<'a>(texts: Vec<Text<'a>>) -> Vec<Cow<'a, str>> {
    texts.into_iter().map(|text| text.0).collect()
}

/// The members of every kind of line; which of them a line needs depends on its type.
#[derive(Deserialize)]
struct Line<'a> {
    time: Option<u64>,
    #[serde(borrow)]
    process: Option<Text<'a>>,
    op: Option<u64>,
    #[serde(rename = "type", borrow)]
    kind: Text<'a>,
    #[serde(borrow)]
    f: Option<Text<'a>>,
    // What these hold depends on the type and on the operation; skipped here, and
    // parsed when that is known.
    #[serde(borrow)]
    value: Option<&'a RawValue>,
    #[serde(borrow)]
    tokens: Option<&'a RawValue>,
    #[serde(borrow)]
    chain: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    foreign: Option<bool>,
    #[serde(borrow)]
    fault: Option<Text<'a>>,
    #[serde(borrow)]
    hashes: Option<Vec<Text<'a>>>,
    versions: Option<Vec<u64>>,
    #[serde(rename = "coveredBy", borrow)]
    covered_by: Option<Vec<Text<'a>>>,
    sequence: Option<u64>,
    #[serde(rename = "eventHash", borrow)]
    event_hash: Option<Text<'a>>,
    version: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AppendValue<'a> {
    sequence: u64,
    #[serde(borrow)]
    event_hash: Cow<'a, str>,
    #[serde(borrow)]
    durability: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ChainValue<'a> {
    #[serde(borrow)]
    hashes: Vec<Text<'a>>,
}

#[derive(Deserialize)]
struct MutateValue<'a> {
    #[serde(borrow)]
    reads: Pairs<'a, Option<Text<'a>>>,
    #[serde(borrow)]
    writes: Pairs<'a, Option<Text<'a>>>,
    version: Option<u64>,
    #[serde(borrow)]
    durability: Option<Text<'a>>,
}

#[derive(Deserialize)]
struct ReadValue<'a> {
    #[serde(borrow)]
    tokens: Pairs<'a, Text<'a>>,
    #[serde(borrow)]
    undecryptable: Option<Vec<Text<'a>>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct EntryValue<'a> {
    op: Option<u64>,
    sequence: u64,
    #[serde(borrow)]
    previous_hash: Option<Text<'a>>,
    #[serde(borrow)]
    event_hash: Cow<'a, str>,
}

/// An object's members in the order of the text, without a map.
struct Pairs<'a, V>(Vec<(Cow<'a, str>, V)>);

impl<'de: 'a, 'a, V: Deserialize<'de>> Deserialize<'de> for Pairs<'a, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<'a, V>(PhantomData<(&'a (), V)>);

        impl<'de: 'a, 'a, V: Deserialize<'de>> Visitor<'de> for Members<'a, V> {
            type Value = Pairs<'a, V>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of tokens and values")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut pairs = Vec::new();
                while let Some((token, value)) = map.next_entry::<Text<'de>, V>()? {
                    pairs.push((token.0, value));
                }
                Ok(Pairs(pairs))
            }
        }

        deserializer.deserialize_map(Members(PhantomData))
    }
}

fn need<T>(member: Option<T>, name: &str, kind: &str) -> Result<T, Problem> {
    member.ok_or_else(|| Problem::Format(format!("a line of type {kind} needs \"{name}\"; add it")))
}

/// One line, typed. What an end's value must hold depends on what was invoked,
/// which `history` knows.
fn parse<'a>(text: &'a str, history: &History) -> Result<Event<'a>, Problem> {
    let line: Line<'a> = serde_json::from_str(text)?;
    let kind = &*line.kind.0;
    match kind {
        "invoke" => {
            let f = need(line.f, "f", kind)?.0;
            let f = Function::named(&f).ok_or_else(|| {
                format!("f is append, read_chain, mutate or read, and not {f:?}; correct it")
            })?;
            Ok(Event::Invoke {
                time: need(line.time, "time", kind)?,
                process: need(line.process, "process", kind)?.0,
                op: OpId(need(line.op, "op", kind)?),
                f,
                id: line.value.and_then(event_id),
                foreign: line.foreign.unwrap_or(false),
            })
        }
        "ok" | "fail" | "unknown" => {
            let op = OpId(need(line.op, "op", kind)?);
            let time = need(line.time, "time", kind)?;
            let process = need(line.process, "process", kind)?.0;
            let index = history
                .index_of(op)
                .ok_or_else(|| Problem::Format(Malformed::EndWithoutInvoke(op).to_string()))?;
            let f = history.operations()[index].f;
            if let Some(said) = line.f.filter(|said| said.0 != f.name()) {
                let cause = format!("op {op} was invoked as {f} and ends as {:?}", said.0);
                return Err(Problem::Format(format!("{cause}; name one f on both")));
            }
            let error = line.error.and_then(error_text);
            let mut attempt = None;
            let end = match kind {
                "ok" => End::Ok(answer(f, need(line.value, "value", kind)?)?),
                "fail" => {
                    let value = line.value.filter(|_| f == Function::Mutate);
                    attempt = value.map(mutation).transpose()?;
                    End::Fail { error }
                }
                _ => {
                    let value = line.value.filter(|_| f == Function::Mutate);
                    End::Unknown {
                        error,
                        mutation: value.map(mutation).transpose()?,
                    }
                }
            };
            Ok(Event::End {
                time,
                process,
                op,
                end,
                attempt,
            })
        }
        "loss" => {
            let covered_by = line.covered_by.map(|names| {
                names
                    .iter()
                    .map(|name| name.0.parse::<Durability>())
                    .collect::<Result<_, _>>()
            });
            let tokens: Option<Vec<Text<'a>>> = match line.tokens {
                Some(raw) => serde_json::from_str(raw.get())?,
                None => None,
            };
            let loss = Loss {
                fault: line.fault.map_or(Cow::Borrowed("unnamed"), |fault| fault.0),
                hashes: line.hashes.map(texts).unwrap_or_default(),
                tokens: tokens.map(texts).unwrap_or_default(),
                versions: line.versions.unwrap_or_default(),
                covered_by: covered_by.transpose()?,
            };
            Ok(Event::Loss {
                time: need(line.time, "time", kind)?,
                loss,
            })
        }
        "rollback" if line.sequence.is_none() && line.version.is_some() => {
            Ok(Event::VaultRollback {
                time: need(line.time, "time", kind)?,
                process: need(line.process, "process", kind)?.0,
                version: need(line.version, "version", kind)?,
            })
        }
        "rollback" => Ok(Event::Rollback {
            time: need(line.time, "time", kind)?,
            process: need(line.process, "process", kind)?.0,
            sequence: need(line.sequence, "sequence", kind)?,
            event_hash: need(line.event_hash, "eventHash", kind)?.0,
        }),
        "final" => {
            let chain: Option<Vec<EntryValue<'a>>> = match line.chain {
                Some(raw) => serde_json::from_str(raw.get())?,
                None => None,
            };
            let tokens: Option<Pairs<'a, Text<'a>>> = match line.tokens {
                Some(raw) => serde_json::from_str(raw.get())?,
                None => None,
            };
            if chain.is_none() && tokens.is_none() {
                let cause = "a final line needs \"chain\", \"tokens\" or both; add what was found";
                return Err(Problem::Format(cause.into()));
            }
            let version = line.version;
            let entry = |entry: EntryValue<'a>| ChainEntry {
                op: entry.op.map(OpId),
                sequence: entry.sequence,
                previous_hash: entry.previous_hash.map(|hash| hash.0),
                event_hash: entry.event_hash,
            };
            let chain = chain.map(|chain| chain.into_iter().map(entry).collect());
            Ok(Event::Final(FinalState {
                chain,
                tokens: tokens.map(plain),
                version,
            }))
        }
        other => Err(Problem::Format(format!(
            "type is invoke, ok, fail, unknown, loss, rollback or final, and not {other:?}; \
             correct it"
        ))),
    }
}

fn answer<'a>(f: Function, value: &'a RawValue) -> Result<Answer<'a>, Problem> {
    match f {
        Function::Append => {
            let value: AppendValue<'a> = serde_json::from_str(value.get())?;
            Ok(Answer::Appended {
                sequence: value.sequence,
                event_hash: value.event_hash,
                durability: durability(value.durability)?,
            })
        }
        Function::ReadChain => {
            let value: ChainValue<'a> = serde_json::from_str(value.get())?;
            Ok(Answer::Chain(texts(value.hashes)))
        }
        Function::Mutate => Ok(Answer::Mutated(mutation(value)?)),
        Function::Read => {
            let value: ReadValue<'a> = serde_json::from_str(value.get())?;
            Ok(Answer::Tokens {
                tokens: plain(value.tokens),
                undecryptable: value.undecryptable.map(texts).unwrap_or_default(),
            })
        }
    }
}

fn mutation<'a>(value: &'a RawValue) -> Result<Mutation<'a>, Problem> {
    let value: MutateValue<'a> = serde_json::from_str(value.get())?;
    let values = |pairs: Pairs<'a, Option<Text<'a>>>| -> TokenValues<'a> {
        pairs
            .0
            .into_iter()
            .map(|(token, value)| (token, value.map(|value| value.0)))
            .collect()
    };
    Ok(Mutation {
        reads: values(value.reads),
        writes: values(value.writes),
        version: value.version,
        durability: durability(value.durability)?,
    })
}

fn durability(text: Option<Text<'_>>) -> Result<Option<Durability>, Problem> {
    Ok(text.map(|text| text.0.parse()).transpose()?)
}

fn plain<'a>(pairs: Pairs<'a, Text<'a>>) -> Vec<(Cow<'a, str>, Cow<'a, str>)> {
    pairs
        .0
        .into_iter()
        .map(|(token, value)| (token, value.0))
        .collect()
}

/// The `id` of an append's event, if the value holds one that is a text: whatever
/// else an event holds is no business of a checker.
fn event_id(value: &RawValue) -> Option<Cow<'_, str>> {
    #[derive(Deserialize)]
    struct EventValue<'a> {
        #[serde(borrow)]
        id: Option<Text<'a>>,
    }
    let value: EventValue<'_> = serde_json::from_str(value.get()).ok()?;
    value.id.map(|id| id.0)
}

/// An error's text; errors that are not texts are kept as they stand.
fn error_text(error: &RawValue) -> Option<Cow<'_, str>> {
    match serde_json::from_str::<Option<Text<'_>>>(error.get()) {
        Ok(text) => text.map(|text| text.0),
        Err(_) => Some(Cow::Borrowed(error.get())),
    }
}
