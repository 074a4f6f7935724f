//! Writing a history as JSON lines.

use std::borrow::Cow;
use std::io::{self, Write};

use serde_json::{Map, Value, json};

use super::event::{
    Answer, ChainEntry, End, Event, FinalState, Function, Loss, Mutation, TokenValues,
};
use super::store::{History, KeptTokens, LogEntry, Outcome};

/// Writes a whole history, one line an event. What it writes, [`super::read`]
/// reads back as the same history.
///
/// # Errors
/// What the output says.
pub fn write(history: &History, mut output: impl Write) -> io::Result<()> {
    for entry in &history.log {
        write_event(&event(history, *entry), &mut output)?;
    }
    if history.ended {
        write_event(&Event::Final(final_state(history)), &mut output)?;
    }
    Ok(())
}

/// Writes one line, newline included.
///
/// # Errors
/// What the output says.
pub fn write_event(event: &Event<'_>, output: &mut impl Write) -> io::Result<()> {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        line.insert(name.to_owned(), value);
    };
    match event {
        Event::Invoke {
            time,
            process,
            op,
            f,
            id,
            foreign,
        } => {
            put("time", json!(time));
            put("process", json!(process));
            put("op", json!(op.0));
            put("type", json!("invoke"));
            put("f", json!(f.name()));
            if let Some(id) = id {
                put("value", json!({ "id": id }));
            }
            if *foreign {
                put("foreign", json!(true));
            }
        }
        Event::End {
            time,
            process,
            op,
            end,
            attempt,
        } => {
            put("time", json!(time));
            put("process", json!(process));
            put("op", json!(op.0));
            let (kind, value, error) = match end {
                End::Ok(answer) => ("ok", Some(answer_value(answer)), &None),
                End::Fail { error } => ("fail", attempt.as_ref().map(mutation_value), error),
                End::Unknown { error, mutation } => {
                    ("unknown", mutation.as_ref().map(mutation_value), error)
                }
            };
            put("type", json!(kind));
            if let Some(value) = value {
                put("value", value);
            }
            if let Some(error) = error {
                put("error", json!(error));
            }
        }
        Event::Loss { time, loss } => {
            put("time", json!(time));
            put("type", json!("loss"));
            put("fault", json!(loss.fault));
            put("hashes", json!(loss.hashes));
            put("tokens", json!(loss.tokens));
            put("versions", json!(loss.versions));
            if let Some(list) = &loss.covered_by {
                let names: Vec<String> = list.iter().map(ToString::to_string).collect();
                put("coveredBy", json!(names));
            }
        }
        Event::Rollback {
            time,
            process,
            sequence,
            event_hash,
        } => {
            put("time", json!(time));
            put("process", json!(process));
            put("type", json!("rollback"));
            put("sequence", json!(sequence));
            put("eventHash", json!(event_hash));
        }
        Event::VaultRollback {
            time,
            process,
            version,
        } => {
            put("time", json!(time));
            put("process", json!(process));
            put("type", json!("rollback"));
            put("version", json!(version));
        }
        Event::Final(state) => {
            put("type", json!("final"));
            if let Some(chain) = &state.chain {
                put("chain", chain.iter().map(entry_value).collect());
            }
            if let Some(tokens) = &state.tokens {
                put("tokens", pairs_value(tokens));
            }
            if let Some(version) = state.version {
                put("version", json!(version));
            }
        }
    }
    serde_json::to_writer(&mut *output, &line)?;
    output.write_all(b"\n")
}

fn entry_value(entry: &ChainEntry<'_>) -> Value {
    json!({
        "op": entry.op.map(|op| op.0),
        "sequence": entry.sequence,
        "previousHash": entry.previous_hash,
        "eventHash": entry.event_hash,
    })
}

fn answer_value(answer: &Answer<'_>) -> Value {
    match answer {
        Answer::Appended {
            sequence,
            event_hash,
            durability,
        } => {
            let mut value = json!({ "sequence": sequence, "eventHash": event_hash });
            if let Some(durability) = durability {
                value["durability"] = json!(durability.to_string());
            }
            value
        }
        Answer::Chain(hashes) => json!({ "hashes": hashes }),
        Answer::Mutated(mutation) => mutation_value(mutation),
        Answer::Tokens {
            tokens,
            undecryptable,
        } => {
            let mut value = json!({ "tokens": pairs_value(tokens) });
            if !undecryptable.is_empty() {
                value["undecryptable"] = json!(undecryptable);
            }
            value
        }
    }
}

fn mutation_value(mutation: &Mutation<'_>) -> Value {
    let values = |values: &TokenValues<'_>| -> Value {
        Value::Object(
            values
                .iter()
                .map(|(t, v)| (t.to_string(), json!(v)))
                .collect(),
        )
    };
    let mut value = json!({ "reads": values(&mutation.reads), "writes": values(&mutation.writes) });
    if let Some(version) = mutation.version {
        value["version"] = json!(version);
    }
    if let Some(durability) = mutation.durability {
        value["durability"] = json!(durability.to_string());
    }
    value
}

fn pairs_value(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Value {
    Value::Object(
        pairs
            .iter()
            .map(|(t, v)| (t.to_string(), json!(v)))
            .collect(),
    )
}

/// The event that a line of the log stands for.
fn event(history: &History, entry: LogEntry) -> Event<'_> {
    let text = |symbol| Cow::Borrowed(history.text(symbol));
    match entry {
        LogEntry::Invoke(index) => {
            let operation = &history.operations[index as usize];
            Event::Invoke {
                time: operation.start,
                process: history.process_name(operation.process).into(),
                op: operation.id,
                f: operation.f,
                id: operation
                    .event_id
                    .filter(|_| operation.f == Function::Append)
                    .map(text),
                foreign: history.is_foreign(operation.process),
            }
        }
        LogEntry::End(index) => {
            let operation = &history.operations[index as usize];
            let error = operation.error.map(text);
            let end = match operation.outcome {
                Outcome::Appended {
                    sequence,
                    event_hash,
                    durability,
                } => {
                    let durability = Some(durability);
                    let event_hash = text(event_hash);
                    End::Ok(Answer::Appended {
                        sequence,
                        event_hash,
                        durability,
                    })
                }
                Outcome::Chain(path) => {
                    let hashes = history.paths.hashes(path);
                    End::Ok(Answer::Chain(hashes.into_iter().map(text).collect()))
                }
                Outcome::Mutated(number) => End::Ok(Answer::Mutated(mutation(history, number))),
                Outcome::Tokens(number) => {
                    let read = history.vault_read(number);
                    let tokens = read.tokens.iter();
                    End::Ok(Answer::Tokens {
                        tokens: tokens.map(|(t, v)| (text(*t), text(*v))).collect(),
                        undecryptable: read.undecryptable.iter().copied().map(text).collect(),
                    })
                }
                Outcome::Failed => End::Fail { error },
                Outcome::Unknown(number) => {
                    let mutation = number.map(|number| mutation(history, number));
                    End::Unknown { error, mutation }
                }
                Outcome::Open => End::Unknown {
                    error,
                    mutation: None,
                },
            };
            let process = history.process_name(operation.process).into();
            let attempt = history.attempts.get(&index);
            Event::End {
                time: operation.end,
                process,
                op: operation.id,
                end,
                attempt: attempt.map(|number| mutation(history, *number)),
            }
        }
        LogEntry::Loss(index) => {
            let kept = &history.losses[index as usize];
            let loss = Loss {
                fault: text(kept.fault),
                hashes: kept.hashes.iter().copied().map(text).collect(),
                tokens: kept.tokens.iter().copied().map(text).collect(),
                versions: kept.versions.clone(),
                covered_by: kept.covered_by.clone(),
            };
            Event::Loss {
                time: kept.time,
                loss,
            }
        }
        LogEntry::VaultRollback(index) => {
            let kept = &history.vault_rollbacks[index as usize];
            Event::VaultRollback {
                time: kept.time,
                process: history.process_name(kept.process).into(),
                version: kept.version,
            }
        }
        LogEntry::Rollback(index) => {
            let kept = &history.rollbacks[index as usize];
            Event::Rollback {
                time: kept.time,
                process: history.process_name(kept.process).into(),
                sequence: kept.sequence,
                event_hash: text(kept.event_hash),
            }
        }
    }
}

fn mutation(history: &History, number: u32) -> Mutation<'_> {
    let kept = history.mutation(number);
    let values = |values: &KeptTokens| -> TokenValues<'_> {
        let text = |symbol| Cow::Borrowed(history.text(symbol));
        values
            .iter()
            .map(|(token, value)| (text(*token), value.map(text)))
            .collect()
    };
    Mutation {
        reads: values(&kept.reads),
        writes: values(&kept.writes),
        version: kept.version,
        durability: kept.durability,
    }
}

fn final_state(history: &History) -> FinalState<'_> {
    let text = |symbol| Cow::Borrowed(history.text(symbol));
    let chain = history.chain.as_ref().map(|chain| {
        let entry = |record: &super::store::ChainRecord| ChainEntry {
            op: record.op,
            sequence: record.sequence,
            previous_hash: record.previous_hash.map(text),
            event_hash: text(record.event_hash),
        };
        chain.iter().map(entry).collect()
    });
    let tokens = history.final_tokens.as_ref().map(|tokens| {
        tokens
            .iter()
            .map(|(token, value)| (text(*token), text(*value)))
            .collect()
    });
    FinalState {
        chain,
        tokens,
        version: history.final_version,
    }
}
