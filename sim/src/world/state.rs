//! Describes a world at one moment: the server's keys, the locks, and the last
//! results of each process.
//!
//! Observing a world does not change it.

use std::{collections::BTreeMap, fmt::Write};

use haechi_history::{Function, History, Outcome};
use haechi_store_redis::redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix};
use redis_sim::{Keyspace, Value};

use super::clock::EPOCH;
use crate::record::Log;

/// The longest part of a text that is shown.
const MAX_TEXT: usize = 72;
/// The most parts of a value that are shown.
const MAX_PARTS: usize = 8;

/// Describes the state.
pub(super) fn describe(keys: &Keyspace, log: &Log) -> String {
    let mut text = String::new();
    let now = u64::try_from((EPOCH + log.now()).as_millis()).unwrap_or(u64::MAX);
    let _ = writeln!(text, "state at {} ms", log.now().as_millis());
    let left = |key: &[u8]| keys.expires_at(key).map(|at| at.saturating_sub(now));
    let is_live = |key: &[u8]| left(key) != Some(0);

    let _ = writeln!(text, "keys:");
    for (key, value) in keys.iter().filter(|(key, _)| is_live(key)) {
        let ttl = left(key).map_or_else(String::new, |left| format!(", {left} ms to live"));
        let name = String::from_utf8_lossy(key);
        let _ = write!(text, "  {name} ({}{ttl})", value.type_name());
        parts(&mut text, value);
    }
    let _ = writeln!(text, "locks:");
    for lock in [
        AuditKeys::new(AuditPrefix::default()).lock,
        VaultKeys::new(VaultPrefix::default()).lock,
    ] {
        let held = keys
            .peek(lock.as_bytes())
            .filter(|_| is_live(lock.as_bytes()));
        let _ = match (held, left(lock.as_bytes())) {
            (Some(Value::Text(holder)), Some(left)) => {
                writeln!(text, "  {lock}: held by {}, {left} ms left", brief(holder))
            }
            (Some(Value::Text(holder)), None) => {
                writeln!(text, "  {lock}: held by {}, for ever", brief(holder))
            }
            _ => writeln!(text, "  {lock}: free"),
        };
    }
    knowledge(&mut text, log.history());
    text
}

fn parts(text: &mut String, value: &Value) {
    let shown: Vec<String> = match value {
        Value::Text(value) => {
            let _ = writeln!(text, " {}", brief(value));
            return;
        }
        Value::List(list) => list
            .iter()
            .enumerate()
            .map(|(place, item)| format!("{}: {}", place + 1, brief(item)))
            .collect(),
        Value::Hash(hash) => hash
            .iter()
            .map(|(field, value)| format!("{}: {}", brief(field), brief(value)))
            .collect(),
        Value::Sorted(sorted) => sorted
            .iter()
            .map(|(member, score)| format!("{}: {score}", brief(member)))
            .collect(),
        // The store uses no other type.
        _ => Vec::new(),
    };
    let _ = writeln!(text, " of {}", shown.len());
    let hidden = shown.len().saturating_sub(MAX_PARTS);
    if hidden > 0 {
        let _ = writeln!(text, "    … {hidden} before");
    }
    for part in shown.iter().skip(hidden) {
        let _ = writeln!(text, "    {part}");
    }
}

/// The last results of a process, and its open operations.
#[derive(Default)]
struct Known {
    appended: Option<(u64, String)>,
    version: Option<u64>,
    read: Option<String>,
    open: Vec<String>,
}

fn knowledge(text: &mut String, history: &History) {
    let mut knowledge: BTreeMap<&str, Known> = BTreeMap::new();
    for operation in history.operations() {
        let known = knowledge
            .entry(history.text(operation.process))
            .or_default();
        match &operation.outcome {
            _ if operation.is_open() => known.open.push(format!(
                "op {} {} since {} ms",
                operation.id,
                operation.f.name(),
                operation.start / 1_000_000
            )),
            Outcome::Appended(appended) => {
                let last = known.appended.as_ref().map(|(last, _)| *last);
                if last < Some(appended.sequence) {
                    let hash = history.text(appended.event_hash).to_owned();
                    known.appended = Some((appended.sequence, hash));
                }
            }
            Outcome::Mutated(mutation) => known.version = known.version.max(mutation.version),
            Outcome::Chain(_) | Outcome::Tokens(_) => {
                let what = match operation.f {
                    Function::ReadChain => "the chain",
                    _ => "the vault",
                };
                known.read = Some(format!("{what} by op {}", operation.id));
            }
            _ => {}
        }
    }
    let _ = writeln!(text, "processes:");
    for (process, known) in knowledge {
        let mut said = Vec::new();
        said.extend(
            known
                .appended
                .map(|(sequence, hash)| format!("appended at {sequence} {hash}")),
        );
        said.extend(
            known
                .version
                .map(|version| format!("made version {version}")),
        );
        said.extend(known.read.map(|read| format!("read {read}")));
        if said.is_empty() {
            said.push("nothing acknowledged".to_owned());
        }
        let open = match known.open.len() {
            0 => "nothing open".to_owned(),
            _ => format!("open: {}", known.open.join(", ")),
        };
        let _ = writeln!(text, "  {process}: {}; {open}", said.join(", "));
    }
}

fn brief(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.into_owned(),
    }
}
