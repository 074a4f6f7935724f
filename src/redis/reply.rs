//! Parses the replies of the chain's scripts, and the faults common to all
//! scripts. No reply may make this module panic.

use redis::Value;

use super::keys::{AuditKeys, VaultKeys};
use crate::{
    audit::store::{ChainState, RepairReply, Reply, Seen, Tail},
    chain::{EventHash, Head, Position, StoredRecord},
    error::{AttemptError, Cause, Corrupt},
};

/// The reply of the append script.
pub(super) fn append(
    reply: Value,
    keys: &AuditKeys,
    seen: Option<Position>,
) -> Result<Reply, AttemptError> {
    let parts = parts(reply, keys)?;
    match (kind(&parts), parts.get(6)) {
        (b"committed", None) => Ok(Reply::Committed),
        (b"conflict", Some(Value::Int(applied))) => Ok(Reply::Conflict {
            tail: end(&parts, keys, seen)?,
            applied: *applied == 1,
        }),
        _ => Err(strange()),
    }
}

/// The reply of the tail script.
pub(super) fn tail(
    reply: Value,
    keys: &AuditKeys,
    seen: Option<Position>,
) -> Result<Tail, AttemptError> {
    let parts = parts(reply, keys)?;
    match kind(&parts) {
        b"tail" => end(&parts, keys, seen),
        _ => Err(strange()),
    }
}

/// The reply of the script that reads the keys as they are.
pub(super) fn state(reply: Value, keys: &AuditKeys) -> Result<ChainState, AttemptError> {
    let mut parts = unfaulted(reply, &keys.prefix)?;
    let stored = |value: &mut Value| match std::mem::replace(value, Value::Nil) {
        Value::BulkString(text) => Ok(Some(text)),
        Value::Nil => Ok(None),
        _ => Err(strange()),
    };
    match &mut parts[..] {
        [name, Value::Int(length), head, head_hash, disagreement] if bytes(name) == b"state" => {
            Ok(ChainState {
                length: u64::try_from(*length).map_err(|_| strange())?,
                head: stored(head)?,
                head_hash: stored(head_hash)?,
                disagreement: match bytes(disagreement) {
                    b"" => None,
                    detail => Some(String::from_utf8_lossy(detail).into_owned()),
                },
            })
        }
        _ => Err(strange()),
    }
}

/// The reply of the repair script.
pub(super) fn repair(reply: Value, keys: &AuditKeys) -> Result<RepairReply, AttemptError> {
    match kind(&unfaulted(reply, &keys.prefix)?) {
        b"repaired" => Ok(RepairReply::Repaired),
        b"changed" => Ok(RepairReply::Changed),
        _ => Err(strange()),
    }
}

/// The reply of the readiness script.
pub(super) fn ready(reply: Value, keys: &AuditKeys) -> Result<(), AttemptError> {
    match kind(&parts(reply, keys)?) {
        b"ready" => Ok(()),
        _ => Err(strange()),
    }
}

/// The reply of the vault's readiness script.
pub(super) fn vault_ready(reply: Value, keys: &VaultKeys) -> Result<(), AttemptError> {
    match kind(&unfaulted(reply, &keys.prefix)?) {
        b"ready" => Ok(()),
        _ => Err(strange()),
    }
}

/// The parts of a reply that is not a fault of the chain.
fn parts(reply: Value, keys: &AuditKeys) -> Result<Vec<Value>, AttemptError> {
    let parts = unfaulted(reply, &keys.prefix)?;
    match kind(&parts) {
        b"diverged" => Err(diverged(keys, text(&parts, 1)).into()),
        _ => Ok(parts),
    }
}

/// The parts of a reply that is not a fault common to all scripts; `prefix` is
/// that of its keys.
pub(super) fn unfaulted(
    reply: Value,
    prefix: &impl std::fmt::Display,
) -> Result<Vec<Value>, AttemptError> {
    let Value::Array(parts) = reply else {
        return Err(strange());
    };
    match kind(&parts) {
        b"wrongtype" => Err(Corrupt::WrongType {
            key: text(&parts, 1),
            found: text(&parts, 2),
        }
        .into()),
        b"denied" => Err(AttemptError::Denied(Cause::of_reply(
            "NOPERM",
            format!(
                "NOPERM the Redis user may not run {} on the keys {prefix}* (grant the user what the store needs; the README lists it)",
                text(&parts, 1),
            ),
        ))),
        _ => Ok(parts),
    }
}

/// A part of a reply as text, for a message.
pub(super) fn text(parts: &[Value], place: usize) -> String {
    parts.get(place).map_or_else(String::new, |part| {
        String::from_utf8_lossy(bytes(part)).into_owned()
    })
}

/// `{kind, hash, head, length, state, found, …}`, as tail.lua describes it.
fn end(parts: &[Value], keys: &AuditKeys, seen: Option<Position>) -> Result<Tail, AttemptError> {
    let [_, hash, head, length, state, found, ..] = parts else {
        return Err(strange());
    };
    let Value::Int(length) = length else {
        return Err(strange());
    };
    let head = match (bytes(hash), bytes(head)) {
        (b"", b"") => Head::Empty,
        (hash, head) => {
            let hash = std::str::from_utf8(hash).ok().and_then(EventHash::parse);
            let integrity = StoredRecord::parse_integrity(head).ok();
            match (hash, integrity) {
                (Some(hash), Some(integrity)) if integrity.position.event_hash == hash => {
                    Head::At(integrity.position)
                }
                _ => {
                    return Err(diverged(
                        keys,
                        "head:hash and head do not name a record's hash and sequence".to_owned(),
                    )
                    .into());
                }
            }
        }
    };
    let seen = match (bytes(state), seen) {
        (b"trimmed", _) => Seen::Trimmed,
        (b"other", Some(_)) => Seen::Gone {
            found: std::str::from_utf8(bytes(found))
                .ok()
                .and_then(EventHash::parse),
        },
        (b"none", Some(_)) => Seen::Gone { found: None },
        (b"stands", Some(_)) | (b"unasked", _) => Seen::Stands,
        _ => return Err(strange()),
    };
    Ok(Tail {
        head,
        length: u64::try_from(*length).unwrap_or_default(),
        seen,
    })
}

pub(super) fn kind(parts: &[Value]) -> &[u8] {
    parts.first().map_or(b"", bytes)
}

pub(super) fn bytes(value: &Value) -> &[u8] {
    match value {
        Value::BulkString(bytes) => bytes,
        Value::SimpleString(text) => text.as_bytes(),
        _ => b"",
    }
}

pub(super) fn diverged(keys: &AuditKeys, detail: String) -> Corrupt {
    Corrupt::Diverged {
        prefix: keys.prefix.to_string(),
        detail,
    }
}

/// The script ran, but its reply cannot be parsed: its effect is unknown.
pub(super) fn strange() -> AttemptError {
    AttemptError::Ambiguous(Cause::new(
        "the reply has another shape than the script's (does a proxy stand between?)",
    ))
}
