//! What the `TokenVault` did with tokens: operations of their own in the history,
//! besides the mutations of their calls, and what audit records attest about them.

use std::time::Duration;

use futures::FutureExt;
use haechi_history::{Audit, Function, Mutation, OpId, Outcome, Text, VaultRead};
use haechi_store_redis::{
    audit::store::AuditStore, clock::parse_iso8601, test_util::MemoryChain, vault::MutationId,
};
use serde::Deserialize;

use super::{
    call_trace::{AttemptName, CallTrace},
    log::{Log, nanos},
    recorder::RunRecorder,
};

/// A purge by the `TokenVault`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Purge {
    f: Function,
    began: Duration,
}

/// A purge whose attempt may have been applied.
#[derive(Debug)]
pub(super) struct UnsettledPurge {
    attempt: AttemptName,
    purged: Access,
}

/// What a call did with tokens.
#[derive(Debug)]
struct Access {
    process: String,
    f: Function,
    read: VaultRead<Text<'static>>,
}

impl RunRecorder {
    /// A call returned plaintexts, or a token for one. `values` stand in for the
    /// plaintexts.
    pub(crate) fn accessed(&self, call: OpId, f: Function, values: Vec<(String, String)>) {
        let mut log = self.log();
        let Some(process) = log.calls.get(&call).map(|trace| trace.process.clone()) else {
            return;
        };
        let values = values.into_iter();
        let read = VaultRead {
            tokens: values.map(|(t, v)| (t.into(), v.into())).collect(),
            ..VaultRead::default()
        };
        log.access(&Access { process, f, read });
    }

    /// A call purges by this function: what it deletes has to be audited.
    pub(crate) fn purges(&self, call: OpId, f: Function) {
        let began = self.now();
        self.in_call(Some(call), |trace| trace.purge = Some(Purge { f, began }));
    }

    /// The attempts that may have purged tokens.
    pub(super) fn unsettled_purges(&self) -> Vec<UnsettledPurge> {
        std::mem::take(&mut self.log().unsettled_purges)
    }

    /// A purge that may have been applied was.
    pub(super) fn settled(&self, purge: &UnsettledPurge) {
        self.log().access(&purge.purged);
    }

    /// The operations and tokens in the audit records of the vaults that record in
    /// memory.
    pub(super) fn audit_records(&self) -> Vec<Audit<Text<'static>>> {
        let log = self.log();
        let read = |chain: &MemoryChain| chain.read(0, u64::MAX).now_or_never()?.ok();
        let texts = log.audits.iter().filter_map(read).flatten();
        texts.filter_map(|text| attested(&text)).collect()
    }
}

impl UnsettledPurge {
    /// The mutation, by whose receipt it is settled.
    pub(super) fn mutation(&self) -> MutationId {
        self.attempt.mutation
    }

    /// Whether this receipt says that the attempt was applied.
    pub(super) fn is_applied(&self, receipt: &str) -> bool {
        let words: Vec<&str> = receipt.split(' ').collect();
        let number = self.attempt.number.to_string();
        matches!(words.as_slice(), ["done", _, applied, _] if *applied == number)
    }
}

impl Log {
    /// A mutation of a call was applied.
    pub(super) fn applied(&mut self, trace: &CallTrace, mutation: &Mutation<Text<'static>>) {
        if let Some(access) = self.purged(trace, mutation) {
            self.access(&access);
        }
    }

    /// A call ends without a known outcome.
    pub(super) fn unsettled(&mut self, trace: &CallTrace) {
        for (attempt, mutation) in trace.unsettled() {
            if let Some(purged) = self.purged(trace, &mutation) {
                self.unsettled_purges
                    .push(UnsettledPurge { attempt, purged });
            }
        }
    }

    /// What a purge deletes by this mutation.
    fn purged(&self, trace: &CallTrace, mutation: &Mutation<Text<'static>>) -> Option<Access> {
        let Purge { f, began } = trace.purge?;
        let is_expired = f == Function::PurgeExpired;
        let deleted = mutation.writes.iter().filter(|(_, value)| value.is_none());
        let ended = |token: &Text<'_>| {
            let (_, value) = mutation.reads.iter().find(|(read, _)| read == token)?;
            is_expired.then(|| ends(value.as_ref()?).map(|end| end.to_string()))?
        };
        let read = VaultRead {
            tokens: deleted
                .map(|(token, _)| (token.clone(), ended(token).unwrap_or_default().into()))
                .collect(),
            undecryptable: Vec::new(),
            clock: is_expired
                .then(|| self.clocks.latest(trace.replica, began, self.now()))
                .flatten(),
        };
        Some(Access {
            process: trace.process.clone(),
            f,
            read,
        })
    }

    fn access(&mut self, Access { process, f, read }: &Access) {
        let now = nanos(self.now());
        let invoked = self.recorder.invoke(now, process, *f, None);
        if let Some(op) = self.accept(invoked) {
            let outcome = Outcome::Tokens(read.clone());
            let ended = self.recorder.end(now, op, outcome, None);
            self.accept(ended);
        }
    }
}

/// What an audit record of a vault attests; `None` for any other record.
pub(super) fn attested(record: &[u8]) -> Option<Audit<Text<'static>>> {
    #[derive(Deserialize)]
    struct Event {
        protocol: String,
        operation: String,
        #[serde(default)]
        token: Option<String>,
        #[serde(default)]
        tokens: Vec<String>,
    }
    let event: Event = serde_json::from_slice(record).ok()?;
    let tokens = event.token.into_iter().chain(event.tokens);
    (event.protocol == "token-vault").then(|| Audit {
        operation: event.operation.into(),
        tokens: tokens.map(Text::from).collect(),
    })
}

/// When the last of a token's ends is, in milliseconds since the Unix epoch.
fn ends(stored: &str) -> Option<u64> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Record {
        expires_at: Option<String>,
        envelope: Option<End>,
        aad: Option<End>,
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct End {
        expires_at: Option<String>,
    }
    let record: Record = serde_json::from_str(stored).ok()?;
    let nested = [record.envelope, record.aad].into_iter().flatten();
    let ends = nested.map(|end| end.expires_at).chain([record.expires_at]);
    let last = ends.flatten().filter_map(|end| parse_iso8601(&end)).max()?;
    let since = last.duration_since(std::time::UNIX_EPOCH).ok()?;
    u64::try_from(since.as_millis()).ok()
}
