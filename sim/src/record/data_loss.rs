//! What a run records of lost data: the loss itself, and what processes say about the
//! state that they find.

use std::collections::{BTreeMap, BTreeSet};

use haechi_history::{Loss, OpId, Seen, Text};
use haechi_store_redis::{AppendError, Corrupt};

use super::{
    accesses::AuditEvent,
    log::nanos,
    recorder::{RunRecorder, number_of},
};

/// What a process says about the state of Redis that an operator has to see to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Complaint {
    /// What this process had seen is gone: it does nothing until it is restarted.
    RolledBack,
    /// The keys of the chain disagree.
    ChainDiverged,
    /// A key of the vault has a value that the store cannot have written.
    VaultUnreadable,
}

impl RunRecorder {
    /// Redis has lost data, and these records with it.
    pub(crate) fn lost<'a>(&self, loss: Loss<Text<'_>>, records: impl Iterator<Item = &'a [u8]>) {
        let mut log = self.log();
        let audits = records.filter_map(AuditEvent::parse);
        log.lost_audits.extend(audits.map(AuditEvent::attested));
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

    /// The operations that are under way and made one of these mutations, with its version.
    pub(crate) fn under_way(&self, mutations: &BTreeMap<String, u64>) -> Vec<(OpId, u64)> {
        let log = self.log();
        let calls = log.calls.values();
        calls
            .filter_map(|call| Some((call.op, call.version_in(mutations)?)))
            .collect()
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
                (Some(seen), Complaint::RolledBack)
            }
            Corrupt::VaultRolledBack { seen, .. } => {
                let seen = Seen::Version { version: *seen };
                (Some(seen), Complaint::RolledBack)
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
