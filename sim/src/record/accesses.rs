//! What the `TokenVault` did with tokens: operations of their own in the history,
//! besides the mutations of their calls, and what audit records attest about them.

use std::{collections::BTreeMap, time::Duration};

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
        let now = log.now();
        let Some(trace) = log.calls.get(&call) else {
            return;
        };
        let process = trace.process.clone();
        if f != Function::Tokenize {
            let late = values
                .iter()
                .filter_map(|(token, _)| log.late_reveal(trace, token, now));
            let late: Vec<String> = late.collect();
            log.misused.extend(late);
        }
        // A call may name a token twice, a history must not.
        let values: BTreeMap<String, String> = values.into_iter().collect();
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
        let chains = log.audits.iter();
        let events = chains.flat_map(|(_, chain)| events_in(chain));
        events.map(AuditEvent::attested).collect()
    }

    /// The purges that audit records state and that did not happen: of each process that
    /// records in memory and did not die, and, of all together, those in `shared`, the
    /// chain in Redis, if nothing could keep a second record from it.
    pub(super) fn purges_overstated(&self, shared: Option<&[Audit<Text<'static>>]>) -> Vec<String> {
        let log = self.log();
        let mut overstated = Vec::new();
        let in_memory = log.audits.iter();
        for (process, chain) in
            in_memory.filter(|(process, _)| !log.dead.contains(process.as_str()))
        {
            let audits: Vec<_> = events_in(chain).map(AuditEvent::attested).collect();
            let purged = log.purges.iter().filter(|((by, _), _)| by == process);
            overstated.extend(surplus(&audits, process, purged));
        }
        if let Some(audits) = shared.filter(|_| log.dead.is_empty()) {
            overstated.extend(surplus(audits, "all processes", log.purges.iter()));
        }
        overstated
    }
}

/// The purges in audit records that were not carried out by these processes.
fn surplus<'a>(
    audits: &[Audit<Text<'static>>],
    processes: &str,
    purged: impl Iterator<Item = (&'a (String, String), &'a u64)>,
) -> Vec<String> {
    let mut stated = BTreeMap::<&str, i64>::new();
    for audit in audits {
        let step = match &*audit.operation {
            "token-vault:purge" | "token-vault:purge-expired" => 1,
            "purge_failed" => -1,
            _ => continue,
        };
        for token in &audit.tokens {
            *stated.entry(token).or_default() += step;
        }
    }
    for ((_, token), times) in purged {
        if let Some(stated) = stated.get_mut(token.as_str()) {
            *stated = stated.saturating_sub_unsigned(*times);
        }
    }
    let surplus = stated.into_iter().filter(|(_, times)| *times > 0);
    surplus
        .map(|(token, times)| {
            format!("the audit chain says {times} times too often that {processes} purged {token}")
        })
        .collect()
}

/// The events of a chain in memory.
fn events_in(chain: &MemoryChain) -> impl Iterator<Item = AuditEvent> + use<> {
    let records = chain.read(0, u64::MAX).now_or_never();
    let records = records.and_then(Result::ok).unwrap_or_default();
    records
        .into_iter()
        .filter_map(|record| AuditEvent::parse(&record))
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
        self.check_ends(mutation);
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

    /// A token that a call revealed though a clock was past its first end when the call
    /// began and ever since.
    fn late_reveal(&self, trace: &CallTrace, token: &str, now: Duration) -> Option<String> {
        let end = Ends::of(trace.loaded.get(token)?)?.first;
        let clock = self.clocks.earliest(trace.replica, trace.began, now)?;
        let past = clock.server.max(clock.own).checked_sub(end)?;
        Some(format!("{token} was revealed {past} ms after its end"))
    }

    /// A token record that the store writes has one end, not before the one that the
    /// token had.
    fn check_ends(&mut self, mutation: &Mutation<Text<'static>>) {
        for (token, value) in &mutation.writes {
            let written = value.as_ref().and_then(|value| Ends::of(value));
            let Some(written) = written.filter(|_| token.starts_with("tok_")) else {
                continue;
            };
            let before = mutation.reads.iter().find(|(read, _)| read == token);
            let before = before.and_then(|(_, value)| Ends::of(value.as_ref()?));
            if written.first != written.last {
                self.misused
                    .push(format!("{token} was written with several ends"));
            }
            if before.is_some_and(|before| written.last < before.last) {
                self.misused
                    .push(format!("the end of {token} was shortened"));
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
            is_expired.then(|| token_end(value.as_ref()?).map(|end| end.to_string()))?
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
        if matches!(f, Function::Purge | Function::PurgeExpired) {
            for (token, _) in &read.tokens {
                let purge = (process.clone(), token.to_string());
                *self.purges.entry(purge).or_default() += 1;
            }
        }
        let now = nanos(self.now());
        let invoked = self.recorder.invoke(now, process, *f, None);
        if let Some(op) = self.accept(invoked) {
            let outcome = Outcome::Tokens(read.clone());
            let ended = self.recorder.end(now, op, outcome, None);
            self.accept(ended);
        }
    }
}

/// An audit event of a vault.
#[derive(Deserialize)]
pub(super) struct AuditEvent {
    pub(super) id: String,
    protocol: String,
    operation: String,
    /// That a loss was accepted has none.
    #[serde(default)]
    decision: String,
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    tokens: Vec<String>,
}

impl AuditEvent {
    /// The event in a record; `None` for that of any other record.
    pub(super) fn parse(record: &[u8]) -> Option<Self> {
        let event: Self = serde_json::from_slice(record).ok()?;
        (event.protocol == "token-vault").then_some(event)
    }

    fn names(&self) -> impl Iterator<Item = &str> {
        let tokens = self.token.iter().chain(&self.tokens);
        tokens.map(String::as_str)
    }

    /// What it attests: an operation, or under the decision's name that one failed.
    pub(super) fn attested(self) -> Audit<Text<'static>> {
        let failed = ["_failed", "_denied"];
        let is_failed = failed.iter().any(|end| self.decision.ends_with(end));
        let tokens = self.names().map(|token| token.to_owned().into()).collect();
        let operation = if is_failed {
            self.decision
        } else {
            self.operation
        };
        Audit {
            operation: operation.into(),
            tokens,
            op: None,
        }
    }
}

/// When the last of a token's ends is, in milliseconds since the Unix epoch.
pub(super) fn token_end(stored: &str) -> Option<u64> {
    Ends::of(stored).map(|ends| ends.last)
}

/// The ends that a token record states, in milliseconds since the Unix epoch.
#[derive(Clone, Copy)]
struct Ends {
    first: u64,
    last: u64,
}

impl Ends {
    fn of(stored: &str) -> Option<Self> {
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
        let millis = |end: String| {
            let since = parse_iso8601(&end)?.duration_since(std::time::UNIX_EPOCH);
            u64::try_from(since.ok()?.as_millis()).ok()
        };
        let ends: Vec<u64> = ends.flatten().filter_map(millis).collect();
        Some(Self {
            first: ends.iter().copied().min()?,
            last: ends.iter().copied().max()?,
        })
    }
}
