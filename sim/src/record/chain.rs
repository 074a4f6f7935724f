//! The chain's part of the history: how operations begin and end, and the final
//! state. The vault's is in `vault`.

use std::collections::BTreeMap;

use haechi_store_redis::{
    AppendError, DurabilityStatus,
    audit::{Appended, AuditStats},
    chain::{AppendId, Position},
    vault::VaultStats,
};

use super::{
    HarnessError, Losses, RunReport,
    log::{Closed, nanos},
    recorder::RunRecorder,
    trace::Trace,
};
use crate::plan::FaultKind;
use haechi_history::{
    Appended as AppendedAt, ChainRead, Durability, FinalState, Function, Mutation, OpId, Outcome,
    Text,
};

impl RunRecorder {
    /// An operation begins.
    pub(crate) fn invoke(
        &self,
        replica: usize,
        process: &str,
        f: Function,
        append_id: Option<AppendId>,
    ) -> Option<OpId> {
        self.invoke_as(replica, process, f, append_id, false)
    }

    /// An operation begins, of a process that may follow the reference's
    /// protocol.
    pub(crate) fn invoke_as(
        &self,
        replica: usize,
        process: &str,
        f: Function,
        append_id: Option<AppendId>,
        foreign: bool,
    ) -> Option<OpId> {
        self.opens(replica);
        let mut log = self.log();
        let now = nanos(log.now());
        let invoked = log.recorder.invoke_as(now, process, f, None, foreign);
        let op = log.accept(invoked)?;
        if let Some(append_id) = append_id {
            log.appends.entry(append_id).or_default().push(op);
            log.identities.insert(append_id.to_string(), op);
        }
        log.event(|| format!("{process} op {} invokes {}", op.0, f.name()));
        Some(op)
    }

    /// An append ends.
    pub(crate) fn end_append(
        &self,
        replica: usize,
        process: &str,
        op: OpId,
        outcome: &Result<Appended, AppendError>,
    ) {
        match outcome {
            Ok(appended) => {
                let event_hash = appended.position.event_hash.to_string();
                let sequence = appended.position.sequence.get();
                self.log().anchors.acknowledged(sequence);
                let appended = Outcome::Appended(AppendedAt {
                    sequence,
                    event_hash: event_hash.as_str().into(),
                    durability: self.promised(&appended.durability),
                });
                self.end(replica, op, appended, None, || {
                    format!("{process} op {op} ok at {sequence} {event_hash}")
                });
            }
            Err(error) => {
                self.append_refused(process, error);
                let text = error.to_string();
                if let AppendError::Unknown { handle, .. } = error {
                    let mut log = self.log();
                    log.handles
                        .extend(handle.position.map(|position| (op, position)));
                    log.unknown_appends.add(op, **handle);
                }
                let outcome = match error {
                    AppendError::Unknown { .. } => Outcome::Unknown(None),
                    _ => Outcome::Failed(None),
                };
                self.end(replica, op, outcome, Some(&text), || {
                    format!("{process} op {op}: {text}")
                });
            }
        }
    }

    /// What an acknowledgement with this status promises: what was asked for, or that it
    /// is applied. `None` where nothing was asked for.
    pub(crate) fn promised(&self, status: &DurabilityStatus) -> Option<Durability> {
        let asked = self.log().durability?;
        Some(match status {
            DurabilityStatus::AsAsked => asked,
            DurabilityStatus::NotYet(_) => Durability::Memory,
        })
    }

    /// A read of the whole chain ends.
    pub(crate) fn end_read(
        &self,
        replica: usize,
        process: &str,
        op: OpId,
        outcome: Result<Vec<String>, String>,
    ) {
        match outcome {
            Ok(hashes) => {
                let length = hashes.len();
                let hashes = hashes.into_iter().map(Into::into).collect();
                let read = Outcome::Chain(ChainRead { hashes });
                self.end(replica, op, read, None, || {
                    format!("{process} op {op} read {length} records")
                });
            }
            Err(error) => {
                self.end(replica, op, Outcome::Failed(None), Some(&error), || {
                    format!("{process} op {op}: {error}")
                });
            }
        }
    }

    /// An operation ends.
    pub(crate) fn end(
        &self,
        replica: usize,
        op: OpId,
        outcome: Outcome<Text<'_>>,
        error: Option<&str>,
        line: impl FnOnce() -> String,
    ) {
        if outcome.is_ok() {
            self.progressed(replica);
        }
        self.closes(replica);
        let mut log = self.log();
        log.count(op, |outcomes| match outcome {
            Outcome::Failed(_) => outcomes.fail += 1,
            Outcome::Unknown(_) => outcomes.unknown += 1,
            _ => outcomes.ok += 1,
        });
        log.foreign_sent.retain(|_, (sent, _)| *sent != op);
        let now = nanos(log.now());
        let ended = log.recorder.end(now, op, outcome, error);
        log.accept(ended);
        log.event(line);
    }

    /// A replica that follows the reference's protocol sends a mutation.
    pub(crate) fn foreign_sends(&self, replica: usize, op: OpId, sent: Mutation<Text<'static>>) {
        self.log().foreign_sent.insert(replica, (op, sent));
    }

    /// A mutation of a process that follows the reference's protocol failed.
    pub(crate) fn foreign_failed(&self, process: &str, error: &str) {
        let failure = format!("{process}: {error}");
        self.log().foreign_failures.push(failure);
    }

    /// A token could not be decrypted, or revealed a wrong plaintext.
    pub(crate) fn undecryptable(&self, reason: String) {
        self.log().undecryptable.push(reason);
    }

    /// What was said about locks, ends and replies.
    pub(super) fn take_misused(&self) -> Vec<String> {
        std::mem::take(&mut self.log().misused)
    }

    /// A lock, an end or a reply is not as the store promises.
    pub(crate) fn misused(&self, reason: String) {
        self.log().misused.push(reason);
    }

    /// The append that wrote the record with this identity and hash. If several
    /// share the identity: the one acknowledged with this hash, or else one
    /// whose outcome is unknown. Each append is returned once.
    pub(crate) fn append_of(&self, append_id: AppendId, hash: &str) -> Option<OpId> {
        self.log().append_of(append_id, hash)
    }

    /// The only position that this append can have, according to the handle in
    /// its `Unknown` error.
    pub(crate) fn handle_of(&self, op: OpId) -> Option<Position> {
        self.log().handles.get(&op).copied()
    }

    pub(crate) fn final_state(&self, state: FinalState<Text<'_>>) {
        let mut log = self.log();
        let finished = log.recorder.final_state(state);
        log.accept(finished);
    }

    pub(crate) fn add_stats(&self, stats: AuditStats) {
        self.log().stats.add(stats);
    }

    pub(crate) fn add_vault_stats(&self, stats: VaultStats) {
        self.log().vault_stats.add(stats);
    }

    /// Takes the log out, not yet evaluated.
    pub(super) fn close(&self, seed: u64, faults: BTreeMap<FaultKind, u64>) -> Closed {
        let mut log = self.log();
        let strays = Some(log.stray_attempts).filter(|attempts| *attempts > 0);
        let strays = strays.map(HarnessError::StrayAttempts);
        let malformed = log.malformed.take().map(HarnessError::Malformed);
        let (trace_hash, trace) = std::mem::replace(&mut log.trace, Trace::new(false)).finish();
        Closed {
            report: RunReport {
                seed,
                violations: Vec::new(),
                harness_errors: strays.into_iter().chain(malformed).collect(),
                outcomes: log.outcomes,
                vault_outcomes: log.vault_outcomes,
                faults,
                stats: log.stats,
                vault_stats: log.vault_stats,
                losses: Losses::new(),
                history: std::mem::take(&mut log.recorder).into_history(),
            },
            observed: log.observed.take(),
            trace_hash,
            trace,
            foreign_failures: std::mem::take(&mut log.foreign_failures),
            undecryptable: std::mem::take(&mut log.undecryptable),
        }
    }
}
