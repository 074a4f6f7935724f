//! What a run records of lost data: the loss itself, and what processes say about the
//! state that they find.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use haechi_history::{
    AcceptedLoss as Accepted, Appended, Function, Known, Loss, OpId, Operation, Outcome, Seen,
    Text,
    check::{Invariant, Violation},
};
use haechi_store_redis::{
    AppendError, Corrupt,
    chain::{AcceptedLoss, AppendId, LostRange, Position, Sequence, StoredRecord},
    vault::{MutationId, Version},
};

use super::{
    accesses::AuditEvent,
    contents::Contents,
    log::{Log, nanos},
    recorder::{RunRecorder, number_of},
};

/// How the names of operators begin in a history.
pub(crate) const OPERATOR: &str = "operator.";
/// How many writes to a deposed primary are reported.
const MOST_DEPOSED_WRITES: usize = 3;

/// What a process says about the state of Redis that an operator has to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Complaint {
    /// What this process had seen of the chain is gone: it does nothing until that is
    /// accepted.
    RolledBack(Gone),
    /// The same, of the vault.
    VaultRolledBack,
    /// The keys of the chain disagree.
    ChainDiverged,
    /// A key of the vault has a value that the store cannot have written.
    VaultUnreadable,
}

/// What a process has seen of the chain and does not find.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Gone {
    /// The highest position that it had seen.
    pub(crate) seen: Position,
    /// The highest one that stands.
    pub(crate) standing: Option<Position>,
}

impl Gone {
    /// What is lost, as far as the process can tell.
    pub(crate) fn range(&self) -> Option<LostRange> {
        let first = match self.standing {
            Some(standing) => standing.sequence.next()?,
            None => Sequence::FIRST,
        };
        LostRange::new(first, self.seen.sequence)
    }
}

/// How an operator's append ended.
pub(crate) enum OperatorEnd {
    Applied(Position),
    NotApplied(String),
    Unknown(String),
}

impl RunRecorder {
    /// Redis has lost this of what it had.
    pub(crate) fn lost(&self, mut loss: Loss<Text<'_>>, had: &Contents) {
        if loss.ops.is_none() {
            loss.ops = Some(self.under_way(&had.applied()));
        }
        let mut log = self.log();
        let audits = had.records(&loss.hashes).filter_map(AuditEvent::parse);
        log.lost_audits.extend(audits.map(AuditEvent::attested));
        let accepted: Vec<_> = had
            .records(&loss.hashes)
            .filter_map(|record| log.accepted_by(record))
            .collect();
        log.lost_acceptances.extend(accepted);
        let now = nanos(log.now());
        let (hashes, tokens) = (loss.hashes.len(), loss.tokens.len());
        let line = format!(
            "{} took {hashes} records, {tokens} tokens, versions {:?}{}",
            loss.fault,
            loss.versions,
            if loss.receipts { ", receipts" } else { "" }
        );
        let lost = log.recorder.loss(now, loss);
        log.accept(lost);
        log.event(|| line);
    }

    /// Redis evicts since then, and what it has just lost it evicted: nothing that a caller
    /// has begun since may have been acknowledged, but by who does not ask.
    pub(crate) fn evicted_since(&self, since: Duration) {
        let (since, mut log) = (nanos(since), self.log());
        let now = nanos(log.now());
        let history = log.recorder.history();
        let Some(loss) = history.losses().last().filter(|loss| loss.time == now) else {
            return;
        };
        let hashes: BTreeSet<_> = loss.hashes.iter().collect();
        let tokens: BTreeSet<_> = loss.tokens.iter().collect();
        let evicted = |operation: &Operation| match &operation.outcome {
            Outcome::Appended(appended) if hashes.contains(&appended.event_hash) => {
                Some(Invariant::LostAppend)
            }
            Outcome::Mutated(mutation) if !history.is_foreign(operation.process) => {
                let mut written = mutation.writes.iter().map(|(token, _)| token);
                let is_lost = written.any(|token| tokens.contains(token));
                is_lost.then_some(Invariant::LostToken)
            }
            _ => None,
        };
        let began_since = |operation: &&Operation| operation.start > since;
        let operations = history.operations().iter().filter(began_since);
        let lost: Vec<Violation> = operations
            .filter_map(|operation| {
                let op = operation.id;
                let reason = format!(
                    "{op} was acknowledged by a Redis that evicted before it began, and did evict"
                );
                Some(Violation {
                    invariant: evicted(operation)?,
                    ops: vec![op],
                    reason,
                })
            })
            .collect();
        log.evicted.extend(lost);
    }

    /// The operations that are under way and made one of these mutations, with its version.
    fn under_way(&self, mutations: &BTreeMap<String, u64>) -> Vec<(OpId, u64)> {
        let log = self.log();
        let calls = log.calls.values();
        calls
            .filter_map(|call| Some((call.op, call.version_in(mutations)?)))
            .collect()
    }

    /// The operations that made these mutations, under way or not, with their versions.
    pub(crate) fn ops_of(&self, mutations: &BTreeMap<String, u64>) -> Vec<(OpId, u64)> {
        let log = self.log();
        let mutations = mutations.iter();
        mutations
            .filter_map(|(mutation, version)| Some((*log.mutations.get(mutation)?, *version)))
            .collect()
    }

    /// A process wrote to a primary of which it must have heard that it is deposed.
    pub(crate) fn wrote_to_deposed(&self, reason: String) {
        let mut log = self.log();
        log.event(|| reason.clone());
        if log.deposed_writes.len() < MOST_DEPOSED_WRITES {
            log.deposed_writes.push(reason);
        }
    }

    /// An operator begins to append a record: a process of its own, since it knows nothing
    /// of what it did before.
    pub(crate) fn operator_invokes(&self) -> Option<OpId> {
        let mut log = self.log();
        let (now, number) = (nanos(log.now()), log.operator_appends);
        log.operator_appends += 1;
        let name = format!("{OPERATOR}{number}");
        let invoked = log.recorder.invoke(now, &name, Function::Append, None);
        let op = log.accept(invoked)?;
        log.event(|| format!("{name} op {} invokes append", op.0));
        Some(op)
    }

    /// An operator's record is to be made under the keys that processes share.
    pub(crate) fn operator_uses_shared_keys(&self, op: OpId) {
        self.log().keyed.insert(op);
    }

    /// The sink of this name begins with this position, which was seen before.
    pub(crate) fn knows(&self, name: &str, seen: Position) {
        let mut log = self.log();
        let now = nanos(log.now());
        let (sequence, hash) = (seen.sequence.get(), seen.event_hash.to_string());
        let event = format!("{name} has seen {sequence} {hash}");
        let event_hash = hash.into();
        let what = Known::Record {
            sequence,
            event_hash,
        };
        let known = log.recorder.knows(now, name, what);
        log.accept(known);
        log.event(|| event);
    }

    /// The vault of this process begins with having seen the receipt of this mutation.
    pub(crate) fn knows_receipt(&self, name: &str, mutation: MutationId) {
        let mut log = self.log();
        let now = nanos(log.now());
        // Those of processes that follow the reference's protocol leave none.
        let Some(op) = log.mutations.get(&mutation.to_string()).copied() else {
            return;
        };
        let known = log.recorder.knows(now, name, Known::Mutate { op });
        log.accept(known);
        log.event(|| format!("{name} has seen the receipt of op {op}"));
    }

    /// The sink of this name goes on after this loss, or after those that were accepted
    /// under shared keys.
    pub(crate) fn accepts(&self, name: &str, lost: Option<LostRange>) {
        let mut log = self.log();
        let now = nanos(log.now());
        let range = lost.map(|lost| (lost.first().get(), lost.last().get()));
        let accepted = log.recorder.accept(now, name, range);
        log.accept(accepted);
        log.event(|| match lost {
            Some(lost) => format!("{name} goes on after the loss of {lost}"),
            None => format!("{name} goes on after what shared keys accept"),
        });
    }

    /// The record of an operator's append may have this identity.
    pub(crate) fn operator_appends_as(&self, op: OpId, append_id: AppendId) {
        self.log().appends.entry(append_id).or_default().push(op);
    }

    /// An operator's append ends.
    pub(crate) fn operator_ends(&self, op: OpId, outcome: OperatorEnd) {
        let (outcome, error) = match outcome {
            OperatorEnd::Applied(position) => {
                let appended = Appended {
                    sequence: position.sequence.get(),
                    event_hash: position.event_hash.to_string().into(),
                    durability: None,
                };
                (Outcome::Appended(appended), None)
            }
            OperatorEnd::NotApplied(why) => (Outcome::Failed(None), Some(why)),
            OperatorEnd::Unknown(why) => (Outcome::Unknown(None), Some(why)),
        };
        let mut log = self.log();
        let now = nanos(log.now());
        let said = error.clone().unwrap_or_else(|| "ok".to_owned());
        let ended = log.recorder.end(now, op, outcome, error.as_deref());
        log.accept(ended);
        log.event(|| format!("operator op {}: {said}", op.0));
    }

    /// The names under which a process, and its parts, are in the history.
    pub(crate) fn names_of(&self, process: usize) -> Vec<String> {
        let log = self.log();
        let history = log.recorder.history();
        let all = history.operations().iter();
        let names = all.map(|operation| history.text(operation.process));
        let own: BTreeSet<&str> = names
            .filter(|name| number_of(name) == Some(process))
            .collect();
        own.into_iter().map(str::to_owned).collect()
    }

    /// What processes have said since this was last called.
    pub(crate) fn take_complaints(&self) -> Vec<(usize, Complaint)> {
        std::mem::take(&mut self.log().complaints)
    }

    /// A process cannot open the chain, whose keys disagree.
    pub(crate) fn cannot_open(&self, process: usize) {
        let complaint = (process, Complaint::ChainDiverged);
        self.log().complaints.push(complaint);
    }

    /// An append of `process` was refused, or one for its vault.
    pub(crate) fn append_refused(&self, process: &str, error: &AppendError) {
        if let AppendError::Corrupt(corrupt) = error {
            self.corrupt(process, corrupt);
        }
    }

    /// A process that is to accept what its vault has lost says what that is.
    pub(crate) fn names_lost_versions(&self, process: &str, seen: Version) {
        let mut log = self.log();
        let now = nanos(log.now());
        let version = seen.get();
        let said = log
            .recorder
            .rollback(now, process, Seen::Version { version });
        log.accept(said);
    }

    /// A process says that the state of Redis is wrong.
    pub(crate) fn corrupt(&self, process: &str, corrupt: &Corrupt) {
        let mut log = self.log();
        let now = nanos(log.now());
        let (seen, complaint) = match corrupt {
            Corrupt::RolledBack(rolled_back) => {
                let seen = Seen::Record {
                    sequence: rolled_back.seen.sequence.get(),
                    event_hash: rolled_back.seen.event_hash.to_string().into(),
                };
                let gone = Gone {
                    seen: rolled_back.seen,
                    standing: rolled_back.standing,
                };
                (Some(seen), Complaint::RolledBack(gone))
            }
            Corrupt::VaultRolledBack { seen, .. } => {
                let seen = Seen::Version { version: *seen };
                (Some(seen), Complaint::VaultRolledBack)
            }
            Corrupt::Diverged { .. } => (None, Complaint::ChainDiverged),
            Corrupt::Unreadable { .. } => (None, Complaint::VaultUnreadable),
            // Of one key or token; no operator is needed for the others.
            _ => return log.event(|| format!("{process}: {corrupt}")),
        };
        if let Some(seen) = seen {
            let said = log.recorder.rollback(now, process, seen);
            log.accept(said);
        }
        log.complaints
            .extend(number_of(process).map(|number| (number, complaint)));
        log.event(|| format!("{process}: {corrupt}"));
    }
}

impl Log {
    /// What a record accepts, if it accepts a loss.
    pub(super) fn accepted_by(&self, record: &[u8]) -> Option<Accepted<Text<'static>>> {
        let AcceptedLoss { position, loss, .. } = AcceptedLoss::of_record(record)?;
        let append_id = StoredRecord::parse(record).ok()?.append_id;
        let ops = append_id.and_then(|id| self.appends.get(&id));
        Some(Accepted {
            sequence: position.sequence.get(),
            event_hash: position.event_hash.to_string().into(),
            from: loss.range.first().get(),
            to: loss.range.last().get(),
            head_hash: loss.head_hash.to_string().into(),
            keyed: ops.is_some_and(|ops| ops.iter().any(|op| self.keyed.contains(op))),
        })
    }
}
