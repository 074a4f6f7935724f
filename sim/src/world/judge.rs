//! Looks at what is in Redis when all is over, with nothing in between.

use haechi_store_redis::{
    chain::{StoredRecord, Verifier},
    redis::AuditKeys,
};

use super::shared::Shared;
use crate::{
    check::{Invariant, Violation},
    history::ChainEntry,
    redis::Reply,
};

/// The chain for the history, and what shows when its keys are held against
/// each other.
pub(super) fn chain(
    shared: &Shared,
    keys: &AuditKeys,
) -> (Vec<ChainEntry<'static>>, Vec<Violation>) {
    let (mut violations, mut elsewhere) = (Vec::new(), Vec::new());
    let mut broken = |reason: String| {
        violations.push(Violation {
            invariant: Invariant::ChainIntegrity,
            ops: Vec::new(),
            reason,
        });
    };
    let list = match ask(shared, &["LRANGE", &keys.chain, "0", "-1"]) {
        Reply::Array(list) => list,
        other => {
            broken(format!("the chain's key holds no list: {other:?}"));
            Vec::new()
        }
    };

    let mut verifier = Verifier::new();
    let mut chain = Vec::new();
    let mut previous: Option<String> = None;
    for record in &list {
        let Reply::Bulk(text) = record else { continue };
        verifier.line(text);
        let Ok(stored) = StoredRecord::parse(text) else {
            continue;
        };
        let event_hash = stored.position.event_hash.to_string();
        let op = stored
            .append_id
            .and_then(|id| shared.append_of(id, &event_hash));
        if let Some(op) = op
            && let Some(named) = shared.handle_of(op)
            && named != stored.position
        {
            elsewhere.push(Violation {
                invariant: Invariant::WrongOutcome,
                ops: vec![op],
                reason: format!(
                    "a handle named sequence {}, and the record stands at {}",
                    named.sequence, stored.position.sequence
                ),
            });
        }
        chain.push((
            op,
            stored.position.sequence.get(),
            stored.previous.map(|hash| hash.to_string()),
            event_hash.clone(),
        ));
        previous = Some(event_hash);
    }
    let verdict = verifier.finish();
    if let Some(fault) = verdict.fault {
        broken(format!("the chain does not verify: {fault}"));
    }

    let head_hash = text(ask(shared, &["GET", &keys.head_hash]));
    if head_hash != previous {
        broken(format!(
            "head:hash is {head_hash:?}, but the list ends with {previous:?}"
        ));
    }
    let head = text(ask(shared, &["GET", &keys.head]));
    let named = head
        .as_deref()
        .and_then(|head| StoredRecord::parse_integrity(head.as_bytes()).ok())
        .map(|integrity| integrity.position.event_hash.to_string());
    if named != previous {
        broken(format!(
            "head names {named:?}, but the list ends with {previous:?}"
        ));
    }

    let chain = chain
        .into_iter()
        .map(|(op, sequence, previous, event_hash)| ChainEntry {
            op,
            sequence,
            previous_hash: previous.map(Into::into),
            event_hash: event_hash.into(),
        })
        .collect();
    violations.append(&mut elsewhere);
    (chain, violations)
}

pub(super) fn ask(shared: &Shared, command: &[&str]) -> Reply {
    let words: Vec<&[u8]> = command.iter().map(|word| word.as_bytes()).collect();
    shared.run(&words).unwrap_or(Reply::Nil)
}

pub(super) fn text(reply: Reply) -> Option<String> {
    match reply {
        Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}
