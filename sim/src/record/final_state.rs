//! Reads the final state directly from Redis, and checks the history against
//! it.

use std::collections::{BTreeMap, BTreeSet};

use haechi_history::{
    AcceptedLoss, Audit, ChainEntry, FinalState, Text,
    check::{Invariant, Violation, check},
};
use haechi_store_redis::{
    chain::{Anchors, StoredRecord, Verifier},
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
};
use redis_sim::Reply;

use super::{
    HarnessError,
    accesses::{AuditEvent, token_end},
    loaded::listed,
    log::Closed,
    quality,
    recorder::RunRecorder,
    report::losses,
};
use crate::plan::{FaultClass, FaultKind, Knobs};

/// The prefix of every plaintext, to detect leaks.
pub(crate) const PLAINTEXT: &str = "hush-";

/// In fewer round trips than this, other writers can keep a record from the chain until
/// its deadline.
const BUSY_ROUND_TRIPS: u64 = 60;

/// Sends Redis a command; `Nil` if there is no reply.
pub(crate) type Query<'a> = &'a mut dyn FnMut(&[&str]) -> Reply;

/// Adds the final state to the history and checks it. `faults`: how often each
/// struck; `stuck`: which replicas made no progress after the last fault had
/// healed.
pub(crate) fn evaluate(
    recorder: &RunRecorder,
    query: Query<'_>,
    knobs: &Knobs,
    faults: BTreeMap<FaultKind, u64>,
    stuck: Option<String>,
) -> Closed {
    let has_lost = faults
        .keys()
        .any(|kind| matches!(kind, FaultKind::LossFault(_)));
    let (mut violations, mut misused) = (Vec::new(), Vec::new());
    let mut state = FinalState::default();
    if knobs.workload.has_chain() {
        let keys = AuditKeys::new(AuditPrefix::default());
        let loses = |kind: &FaultKind| kind.class() == FaultClass::DataLoss;
        let is_whole = !faults.keys().any(loses);
        let anchors = is_whole.then(|| recorder.all_anchors());
        state.chain = Some(read_chain(
            recorder,
            query,
            &keys,
            anchors,
            &mut state.accepted,
            &mut violations,
        ));
        violations.extend(recorder.check_anchors(knobs, is_whole));
    }
    if knobs.workload.has_vault() {
        let keys = VaultKeys::new(VaultPrefix::default());
        let tokens = read_vault(query, &keys);
        for (token, value) in &tokens {
            if token.contains(PLAINTEXT) || value.contains(PLAINTEXT) {
                let reason = format!("{token} holds a plaintext outside of its envelope");
                violations.push(violation(Invariant::Leak, reason));
            }
        }
        let has_foreign = knobs.vault.as_ref().is_some_and(|vault| vault.foreign > 0);
        // A rebuild of the index that spans a loss is of what there was before.
        if !has_lost {
            misused = check_index(query, &keys, &tokens, has_foreign);
        }
        let found = tokens.iter().map(|(token, value)| (&**token, Some(value)));
        let tokens = listed(found).into_iter();
        let tokens = tokens.filter_map(|(token, value)| Some((token.into(), value?.into())));
        state.tokens = Some(tokens.collect());
        let version = text(query(&["GET", &keys.version]));
        let version = version.and_then(|version| version.parse().ok());
        state.version = Some(version.unwrap_or(0));
        for purge in recorder.unsettled_purges() {
            let mutation = purge.mutation().to_string();
            let receipt = text(query(&["HGET", &keys.receipts, &mutation]));
            if receipt.is_some_and(|receipt| purge.is_applied(&receipt)) {
                recorder.settled(&purge);
            }
        }
        // Without a lock, and where every reply takes as long, one process can lose to the
        // others until its deadline.
        let has_fixed_order = knobs.lock.is_none() && knobs.latency.0 == knobs.latency.1;
        let is_busy = has_fixed_order || quality::round_trips(knobs) < BUSY_ROUND_TRIPS;
        let can_lack = is_busy || faults.keys().any(|kind| kind.can_lose_commands());
        let audits = state
            .chain
            .iter()
            .flatten()
            .filter_map(|entry| entry.audit.clone());
        let shared: Option<Vec<_>> = (!can_lack).then(|| audits.collect());
        let overstated = recorder.purges_overstated(shared.as_deref()).into_iter();
        violations.extend(overstated.map(|why| violation(Invariant::Unaudited, why)));
        state.audits = recorder.audit_records();
        state.audits.append(&mut recorder.log().lost_audits);
    }
    // What was found out held before a loss.
    if !has_lost {
        let chain = state.chain.as_deref().unwrap_or_default();
        violations.extend(recorder.check_resolved_appends(chain));
        let receipts = VaultKeys::new(VaultPrefix::default()).receipts;
        violations.extend(recorder.check_resolved_mutations(|mutation| {
            text(query(&["HGET", &receipts, &mutation.to_string()]))
        }));
    }
    misused.extend(recorder.take_misused());
    violations.append(&mut recorder.log().evicted);
    let deposed = std::mem::take(&mut recorder.log().deposed_writes).into_iter();
    violations.extend(deposed.map(|why| violation(Invariant::DeposedWrite, why)));
    state.accepted.append(&mut recorder.log().lost_acceptances);
    recorder.final_state(state);
    let mut closed = recorder.close(knobs.seed, faults);
    closed.report.losses = losses(&closed.report.history);
    match check(&closed.report.history) {
        Ok(verdict) => violations.extend(verdict.violations),
        Err(error) => {
            let error = HarnessError::Undecided(error);
            closed.report.harness_errors.push(error);
        }
    }
    violations.extend(stuck.map(|reason| violation(Invariant::NoProgress, reason)));
    let undecryptable = closed.undecryptable.iter().cloned();
    violations.extend(undecryptable.map(|why| violation(Invariant::UndecryptableToken, why)));
    let misused = misused.into_iter();
    violations.extend(misused.map(|why| violation(Invariant::QualityOfService, why)));
    violations.extend(quality::check(&closed.report, knobs));
    // Without faults, foreign processes have to succeed too.
    if knobs.quiet {
        violations.extend(closed.foreign_failures.iter().map(|failure| {
            let reason = format!("a foreign writer failed without any fault: {failure}");
            violation(Invariant::NoProgress, reason)
        }));
    }
    closed.report.violations = violations;
    closed
}

/// A violation without operations.
pub(crate) fn violation(invariant: Invariant, reason: String) -> Violation {
    Violation {
        invariant,
        ops: Vec::new(),
        reason,
    }
}

/// Reads the chain for the history, and compares its keys with each other and with
/// anchors.
fn read_chain(
    recorder: &RunRecorder,
    query: Query<'_>,
    keys: &AuditKeys,
    anchors: Option<Anchors>,
    accepted: &mut Vec<AcceptedLoss<Text<'static>>>,
    violations: &mut Vec<Violation>,
) -> Vec<ChainEntry<Text<'static>>> {
    let mut broken = |reason| violations.push(violation(Invariant::ChainIntegrity, reason));
    let list = match query(&["LRANGE", &keys.chain, "0", "-1"]) {
        Reply::Array(list) => list,
        other => {
            broken(format!("the chain's key holds no list: {other:?}"));
            Vec::new()
        }
    };

    let (mut chain, mut elsewhere, mut events) = (Vec::new(), Vec::new(), BTreeSet::new());
    let mut verifier = Verifier::new().with_anchors(anchors.unwrap_or_default());
    let mut last: Option<String> = None;
    for record in &list {
        let Reply::Bulk(text) = record else { continue };
        verifier.line(text);
        accepted.extend(recorder.log().accepted_by(text));
        let Ok(stored) = StoredRecord::parse(text) else {
            continue;
        };
        let event_hash = stored.position.event_hash.to_string();
        let op = stored
            .append_id
            .and_then(|id| recorder.append_of(id, &event_hash));
        if let Some(op) = op
            && let Some(named) = recorder.handle_of(op)
            && named != stored.position
        {
            elsewhere.push(Violation {
                invariant: Invariant::WrongOutcome,
                ops: vec![op],
                reason: format!(
                    "a handle named sequence {}, but the record is at {}",
                    named.sequence, stored.position.sequence
                ),
            });
        }
        let audited = AuditEvent::parse(text);
        if let Some(event) = &audited
            && !events.insert(event.id.clone())
        {
            let sequence = stored.position.sequence;
            elsewhere.push(violation(
                Invariant::DuplicateAppend,
                format!("the record at {sequence} is the second of one event of a vault"),
            ));
        }
        chain.push(ChainEntry {
            op,
            sequence: stored.position.sequence.get(),
            previous_hash: stored.previous.map(|hash| hash.to_string().into()),
            event_hash: event_hash.clone().into(),
            audit: audited.map(|event| Audit {
                op: stored.append_id.and_then(|id| recorder.call_of(id)),
                ..event.attested()
            }),
        });
        last = Some(event_hash);
    }
    if let Some(fault) = verifier.finish().fault {
        broken(format!("the chain does not verify: {fault}"));
    }

    let head_hash = text(query(&["GET", &keys.head_hash]));
    if head_hash != last {
        broken(format!(
            "head:hash is {head_hash:?}, but the list ends with {last:?}"
        ));
    }
    let head = text(query(&["GET", &keys.head]));
    let named = head
        .as_deref()
        .and_then(|head| StoredRecord::parse_integrity(head.as_bytes()).ok())
        .map(|integrity| integrity.position.event_hash.to_string());
    if named != last {
        broken(format!(
            "head names {named:?}, but the list ends with {last:?}"
        ));
    }
    violations.append(&mut elsewhere);
    chain
}

/// The tokens and their values.
fn read_vault(query: Query<'_>, keys: &VaultKeys) -> Vec<(String, String)> {
    let mut tokens = Vec::new();
    if let Reply::Array(pairs) = query(&["HGETALL", &keys.tokens]) {
        let mut words = pairs.into_iter().filter_map(text);
        while let (Some(token), Some(value)) = (words.next(), words.next()) {
            tokens.push((token, value));
        }
    }
    tokens
}

/// The tokens that a purge would not find in time, though the index says that it has
/// all; and, where no other writer leaves them, those that it has though they are gone.
fn check_index(
    query: Query<'_>,
    keys: &VaultKeys,
    tokens: &[(String, String)],
    has_foreign: bool,
) -> Vec<String> {
    let members: Vec<String> = match query(&["ZRANGE", &keys.expiry, "0", "-1"]) {
        Reply::Array(members) => members.into_iter().filter_map(text).collect(),
        _ => Vec::new(),
    };
    let mut number = |words: &[&str]| text(query(words))?.parse::<f64>().ok();
    let version = number(&["GET", &keys.version]).unwrap_or(0.0);
    let own = number(&["HGET", &keys.receipts, "#own"]).unwrap_or(0.0);
    if number(&["ZSCORE", &keys.expiry, ""]) != Some(-1.0 - (version - own)) {
        return Vec::new();
    }
    let mut misused = Vec::new();
    for (token, value) in tokens {
        let Some(end) = token_end(value).filter(|_| token.starts_with("tok_")) else {
            continue;
        };
        let indexed = number(&["ZSCORE", &keys.expiry, token]);
        if indexed.is_none_or(|indexed| indexed > end as f64) {
            misused.push(format!(
                "the index says that it is whole, and has {token} at {indexed:?}"
            ));
        }
    }
    let names: BTreeSet<&str> = tokens.iter().map(|(token, _)| token.as_str()).collect();
    for member in members.iter().filter(|member| !member.is_empty()) {
        if !has_foreign && !names.contains(member.as_str()) {
            misused.push(format!("the index has {member}, which is gone"));
        }
    }
    misused
}

fn text(reply: Reply) -> Option<String> {
    match reply {
        Reply::Bulk(text) => Some(String::from_utf8_lossy(&text).into_owned()),
        _ => None,
    }
}
