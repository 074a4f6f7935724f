//! Looks at what is in Redis when all is over, with nothing in between, and
//! judges what was written down by it.

use haechi_store_redis::{
    chain::{StoredRecord, Verifier},
    redis::{AuditKeys, VaultKeys},
};

use super::{Workload, ledger::Ledger, log::Closed, replica, vault};
use haechi_history::check::{Invariant, Violation};
use haechi_history::{ChainEntry, FinalState};
use redis_sim::Reply;

/// Asks Redis one thing; `Nil` if it does not answer.
pub(crate) type Ask<'a> = &'a mut dyn FnMut(&[&str]) -> Reply;

/// Puts the final state into the history, closes it, and says what does not
/// hold. `stuck` says who got nothing done after the last fault had healed.
pub(crate) fn judge(
    ledger: &Ledger,
    ask: Ask<'_>,
    workload: Workload,
    stuck: Option<String>,
) -> (Closed, Vec<Violation>) {
    let mut violations = Vec::new();
    let mut state = FinalState::default();
    if workload.has_chain() {
        let keys = AuditKeys::new(replica::prefix());
        let (chain, broken) = chain(ledger, ask, &keys);
        violations.extend(broken);
        state.chain = Some(chain);
    }
    if workload.has_vault() {
        let keys = VaultKeys::new(vault::prefix());
        let vault = vault::final_vault(ask, &keys);
        for (token, value) in &vault.tokens {
            if token.contains(vault::PLAINTEXT) || value.contains(vault::PLAINTEXT) {
                violations.push(Violation {
                    invariant: Invariant::Leak,
                    ops: Vec::new(),
                    reason: format!("{token} holds a plaintext outside of its envelope"),
                });
            }
        }
        let tokens = vault.tokens.into_iter();
        state.tokens = Some(
            tokens
                .map(|(token, value)| (token.into(), value.into()))
                .collect(),
        );
        state.version = Some(vault.version);
    }
    ledger.final_state(state);
    let closed = ledger.close();
    match haechi_history::check::check(&closed.history) {
        Ok(verdict) => violations.extend(verdict.violations),
        Err(error) => violations.push(Violation {
            invariant: Invariant::ChainIntegrity,
            ops: Vec::new(),
            reason: format!("the history cannot be judged: {error}"),
        }),
    }
    if let Some(reason) = stuck {
        violations.push(Violation {
            invariant: Invariant::NoProgress,
            ops: Vec::new(),
            reason,
        });
    }
    violations.extend(closed.undecryptable.iter().map(|reason| Violation {
        invariant: Invariant::UndecryptableToken,
        ops: Vec::new(),
        reason: reason.clone(),
    }));
    if closed.stray_attempts > 0 {
        violations.push(Violation {
            invariant: Invariant::PhantomAppend,
            ops: Vec::new(),
            reason: format!(
                "the harness lost sight of {} attempts",
                closed.stray_attempts
            ),
        });
    }
    if let Some(malformed) = &closed.malformed {
        violations.push(Violation {
            invariant: Invariant::ChainIntegrity,
            ops: Vec::new(),
            reason: format!("the harness recorded a malformed history: {malformed}"),
        });
    }
    (closed, violations)
}

/// The chain for the history, and what shows when its keys are held against
/// each other.
fn chain(
    shared: &Ledger,
    ask: Ask<'_>,
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
    let list = match ask(&["LRANGE", &keys.chain, "0", "-1"]) {
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

    let head_hash = text(ask(&["GET", &keys.head_hash]));
    if head_hash != previous {
        broken(format!(
            "head:hash is {head_hash:?}, but the list ends with {previous:?}"
        ));
    }
    let head = text(ask(&["GET", &keys.head]));
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

pub(super) fn text(reply: Reply) -> Option<String> {
    match reply {
        Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}
