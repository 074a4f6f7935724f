//! Parses the replies of the vault's scripts. No reply may make this module
//! panic.

use std::collections::BTreeMap;

use redis::Value;

use super::{
    keys::VaultKeys,
    reply::{bytes, kind, strange, text, unfaulted},
};
use crate::{
    clock::{from_epoch_micros, from_epoch_millis},
    error::{AttemptError, Cause, Corrupt},
    vault::{
        MutationId, Stored, TokenId, Version,
        store::{
            Applied, Attempt, Due, Fate, Loaded, Moved, Observed, Page, Receipt, ReceiptPosition,
            ReceiptSeq, ServerTime,
        },
    },
};

/// The reply of the load script for `tokens`, `None` for all.
pub(super) fn loaded(
    reply: Value,
    keys: &VaultKeys,
    tokens: Option<&[TokenId]>,
    observed: &Observed,
) -> Result<Loaded, AttemptError> {
    let mut parts = parts(reply, keys, observed)?;
    let kind = kind(&parts).to_vec();
    let (
        b"loaded",
        [
            _,
            version,
            receipt_seq,
            Value::Array(values),
            newest,
            next,
            time,
        ],
    ) = (kind.as_slice(), parts.as_mut_slice())
    else {
        return Err(strange());
    };
    let (values, newest) = (std::mem::take(values), self::newest(newest, next)?);
    let server_time = self::server_time(time)?;
    let (version, receipt_seq) = (
        Version::new(count(version)?),
        ReceiptSeq::new(count(receipt_seq)?),
    );
    let Some(tokens) = tokens else {
        let (tokens, unnameable) = pairs(values);
        return Ok(Loaded {
            version,
            receipt_seq,
            newest,
            server_time,
            tokens: tokens
                .into_iter()
                .map(|(token, value)| (token, Some(value)))
                .collect(),
            unnameable,
        });
    };
    Ok(Loaded {
        version,
        receipt_seq,
        newest,
        server_time,
        tokens: named(tokens.iter(), values)?,
        unnameable: Vec::new(),
    })
}

/// The reply of the apply script.
pub(super) fn applied(
    reply: Value,
    keys: &VaultKeys,
    attempt: &Attempt<'_>,
    observed: &Observed,
) -> Result<Applied, AttemptError> {
    let mut parts = parts(reply, keys, observed)?;
    let kind = kind(&parts).to_vec();
    match (kind.as_slice(), parts.as_mut_slice()) {
        (b"committed", [_, version, seq, written]) => Ok(Applied::Committed {
            version: Version::new(count(version)?),
            receipt: ReceiptPosition {
                mutation: attempt.mutation,
                seq: ReceiptSeq::new(count(seq)?),
                written: self::written(written).ok_or_else(strange)?,
            },
        }),
        (
            b"conflict",
            [
                _,
                moved,
                version,
                receipt_seq,
                Value::Array(values),
                newest,
                next,
                time,
            ],
        ) => Ok(Applied::Conflict {
            moved: match bytes(moved) {
                b"version" => Moved::Version,
                b"value" => Moved::Value,
                _ => return Err(strange()),
            },
            now: Loaded {
                version: Version::new(count(version)?),
                receipt_seq: ReceiptSeq::new(count(receipt_seq)?),
                newest: self::newest(newest, next)?,
                server_time: server_time(time)?,
                tokens: named(attempt.read.keys(), std::mem::take(values))?,
                unnameable: Vec::new(),
            },
        }),
        (b"held", [_, holder]) => Ok(Applied::ForeignLocked {
            holder: bytes(holder).to_vec(),
        }),
        (b"settled", [_, receipt, written]) => {
            fate(attempt.mutation, receipt, written, keys).map(Applied::Settled)
        }
        (b"forgotten", _) => Ok(Applied::ReceiptExpired),
        _ => Err(strange()),
    }
}

/// What a receipt says of its mutation.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Applied,
    Dropped,
}

/// The reply of the confirm script for `count` mutations; `None`: there is no receipt.
pub(super) fn confirmed(
    reply: Value,
    keys: &VaultKeys,
    count: usize,
) -> Result<Vec<Option<Ended>>, AttemptError> {
    let parts = unfaulted(reply, &keys.prefix)?;
    let ended = |part: &Value| match part {
        Value::Int(0) => Ok(None),
        Value::Int(1) => Ok(Some(Ended::Applied)),
        Value::Int(2) => Ok(Some(Ended::Dropped)),
        _ => Err(strange()),
    };
    match (kind(&parts), parts.get(1..)) {
        (b"confirmed", Some(found)) if found.len() == count => found.iter().map(ended).collect(),
        _ => Err(strange()),
    }
}

/// The reply of the settle script.
pub(super) fn settled(
    reply: Value,
    keys: &VaultKeys,
    mutation: MutationId,
    observed: &Observed,
) -> Result<Option<Fate>, AttemptError> {
    match receipt(reply, keys, mutation, observed)? {
        Receipt::Ended(fate) => Ok(Some(fate)),
        Receipt::Expired => Ok(None),
        Receipt::Open => Err(strange()),
    }
}

/// The reply of the settle script that was asked only to look.
pub(super) fn receipt(
    reply: Value,
    keys: &VaultKeys,
    mutation: MutationId,
    observed: &Observed,
) -> Result<Receipt, AttemptError> {
    let parts = parts(reply, keys, observed)?;
    match (kind(&parts), parts.as_slice()) {
        (b"settled", [_, receipt, written]) => {
            fate(mutation, receipt, written, keys).map(Receipt::Ended)
        }
        (b"open", _) => Ok(Receipt::Open),
        (b"forgotten", _) => Ok(Receipt::Expired),
        _ => Err(strange()),
    }
}

/// The reply of the due script.
pub(super) fn due(reply: Value, keys: &VaultKeys) -> Result<Due, AttemptError> {
    let parts = parts(reply, keys, &Observed::default())?;
    match (kind(&parts), parts.as_slice()) {
        (b"due", [_, Value::Int(whole), drift, Value::Array(tokens), disputed]) => Ok(Due {
            tokens: tokens
                .iter()
                .filter_map(|token| TokenId::new(std::str::from_utf8(bytes(token)).ok()?).ok())
                .collect(),
            disputed: count(disputed)?,
            is_whole: *whole == 1,
            drift: count(drift)?,
        }),
        _ => Err(strange()),
    }
}

/// The reply of the index script.
pub(super) fn indexed(reply: Value, keys: &VaultKeys) -> Result<(), AttemptError> {
    match kind(&parts(reply, keys, &Observed::default())?) {
        b"indexed" => Ok(()),
        _ => Err(strange()),
    }
}

/// The reply of the scan script.
pub(super) fn page(reply: Value, keys: &VaultKeys) -> Result<Page, AttemptError> {
    let mut parts = parts(reply, keys, &Observed::default())?;
    let kind = kind(&parts).to_vec();
    match (kind.as_slice(), parts.as_mut_slice()) {
        (b"page", [_, cursor, Value::Array(values), time]) => {
            let (tokens, unnameable) = pairs(std::mem::take(values));
            Ok(Page {
                cursor: std::str::from_utf8(bytes(cursor))
                    .ok()
                    .and_then(|cursor| cursor.parse().ok())
                    .ok_or_else(strange)?,
                tokens,
                unnameable,
                server_time: server_time(time)?,
            })
        }
        _ => Err(strange()),
    }
}

/// The parts of a reply that is not a fault of the vault.
fn parts(reply: Value, keys: &VaultKeys, observed: &Observed) -> Result<Vec<Value>, AttemptError> {
    let parts = unfaulted(reply, &keys.prefix)?;
    match kind(&parts) {
        b"unreadable" => Err(Corrupt::Unreadable {
            key: text(&parts, 1),
            detail: text(&parts, 2),
        }
        .into()),
        b"lost" => Err(Corrupt::VaultRolledBack {
            prefix: keys.prefix.to_string(),
            seen: observed.version.get(),
            met: parts.get(1).map_or(Ok(0), count)?,
        }
        .into()),
        b"large" => Err(AttemptError::Denied(Cause::new(format!(
            "the vault has {} tokens, and at most {} are read as a whole; name the tokens \
             (transaction), or list them in slices",
            parts.get(1).map_or(Ok(0), count)?,
            parts.get(2).map_or(Ok(0), count)?,
        )))),
        _ => Ok(parts),
    }
}

fn count(value: &Value) -> Result<u64, AttemptError> {
    match value {
        Value::Int(count) => u64::try_from(*count).map_err(|_| strange()),
        _ => Err(strange()),
    }
}

fn server_time(millis: &Value) -> Result<ServerTime, AttemptError> {
    Ok(ServerTime::new(from_epoch_millis(count(millis)?)))
}

/// The newest receipt, `{mutation} {written}`; `next` is the number after its own. Any other
/// text is not looked for.
fn newest(newest: &Value, next: &Value) -> Result<Option<ReceiptPosition>, AttemptError> {
    let next = count(next)?;
    let position = || {
        let text = std::str::from_utf8(bytes(newest)).ok()?;
        let (mutation, written) = text.split_once(' ')?;
        Some(ReceiptPosition {
            mutation: MutationId::parse(mutation)?,
            seq: ReceiptSeq::new(next.checked_sub(1)?),
            written: micros(written)?,
        })
    };
    Ok(position())
}

/// When a receipt was written.
fn written(text: &Value) -> Option<ServerTime> {
    micros(std::str::from_utf8(bytes(text)).ok()?)
}

fn micros(text: &str) -> Option<ServerTime> {
    Some(ServerTime::new(from_epoch_micros(text.parse().ok()?)))
}

/// The values of `tokens`, in their order.
fn named<'a>(
    tokens: impl ExactSizeIterator<Item = &'a TokenId>,
    values: Vec<Value>,
) -> Result<BTreeMap<TokenId, Option<Stored>>, AttemptError> {
    if tokens.len() != values.len() {
        return Err(strange());
    }
    tokens
        .zip(values)
        .map(|(token, value)| match value {
            Value::Nil => Ok((token.clone(), None)),
            Value::BulkString(value) => Ok((token.clone(), Some(value.into()))),
            _ => Err(strange()),
        })
        .collect()
}

/// Ids and values in turn; fields with other names are returned separately.
fn pairs(values: Vec<Value>) -> (Vec<(TokenId, Stored)>, Vec<String>) {
    let (mut tokens, mut unnameable) = (Vec::with_capacity(values.len() / 2), Vec::new());
    let mut values = values.into_iter();
    while let (Some(field), Some(Value::BulkString(value))) = (values.next(), values.next()) {
        let token = std::str::from_utf8(bytes(&field))
            .ok()
            .and_then(|name| TokenId::new(name).ok());
        match token {
            Some(token) => tokens.push((token, value.into())),
            None => unnameable.push(String::from_utf8_lossy(bytes(&field)).into_owned()),
        }
    }
    (tokens, unnameable)
}

/// The receipt of a mutation, `done {version} {attempt} {receipt_seq}` or
/// `dropped {receipt_seq}`, and when it was written.
fn fate(
    mutation: MutationId,
    receipt: &Value,
    written: &Value,
    keys: &VaultKeys,
) -> Result<Fate, AttemptError> {
    let position = |seq| {
        let written = self::written(written)?;
        Some(ReceiptPosition {
            mutation,
            seq,
            written,
        })
    };
    let applied = |version: &str, number: &str, seq: &str| {
        Some(Fate::Applied {
            version: Version::new(version.parse().ok()?),
            number: number.parse().ok()?,
            receipt: position(ReceiptSeq::new(seq.parse().ok()?)),
        })
    };
    let words: Vec<_> = std::str::from_utf8(bytes(receipt))
        .unwrap_or_default()
        .split(' ')
        .collect();
    let fate = match words.as_slice() {
        ["dropped", _] => Some(Fate::Dropped),
        ["done", version, number, seq] => applied(version, number, seq),
        _ => None,
    };
    fate.ok_or_else(|| {
        Corrupt::Unreadable {
            key: keys.receipts.clone(),
            detail: "a receipt that this store cannot have written".to_owned(),
        }
        .into()
    })
}
