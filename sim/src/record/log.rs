//! What is recorded of one run: the history, the trace, the counts.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use haechi_history::{
    AcceptedLoss, Audit, Durability, Function, History, Malformed, Mutation, OpId, Outcome,
    Recorder, Text, check::Violation,
};
use haechi_store_redis::{
    Handle,
    audit::AuditStats,
    chain::{AppendId, Position},
    test_util::MemoryChain,
    vault::{ReceiptHandle, VaultStats, Version},
};

use super::{
    RunReport, Situation, accesses::UnsettledPurge, anchors::AnchorLog, call_trace::CallTrace,
    clocks::Clocks, data_loss::Complaint, resolved::Unknown, trace::Trace,
};

/// Returns the time since the run began.
pub(crate) type Time = Box<dyn Fn() -> Duration + Send>;

/// Describes the run after an event of the trace; `None` if it has to wait for
/// the next one.
pub(crate) type Observer = Box<dyn Fn(&Log) -> Option<String> + Send>;

/// What is recorded.
pub(crate) struct Log {
    pub(super) recorder: Recorder,
    pub(super) trace: Trace,
    /// Simulated time, constant within a step.
    now: Duration,
    /// In real time: reads the clock.
    pub(super) time: Option<Time>,
    /// The appends with each identity: several, if callers set the same one.
    pub(super) appends: BTreeMap<AppendId, Vec<OpId>>,
    /// The operation that an append identity, as text, is of.
    pub(super) identities: BTreeMap<String, OpId>,
    /// The names of scripts that a planted bug has altered, by their SHA-1.
    pub(super) altered: BTreeMap<Vec<u8>, String>,
    /// The only position that each append of unknown outcome can have.
    pub(super) handles: BTreeMap<OpId, Position>,
    pub(super) unknown_appends: Unknown<Handle, u64>,
    pub(super) unknown_mutations: Unknown<ReceiptHandle, Version>,
    /// The calls into the vault in progress, by their first operation.
    pub(super) calls: BTreeMap<OpId, CallTrace>,
    /// What callers asked for in operations that are mutations in the history.
    pub(super) called: BTreeMap<OpId, Function>,
    /// Situations that calls met.
    pub(super) situations: Vec<Situation>,
    /// Attempts at the vault outside of any recorded call.
    pub(super) stray_attempts: u64,
    /// Why mutations of processes that follow the reference's protocol failed.
    pub(super) foreign_failures: Vec<String>,
    /// The audit chains of the processes' vaults.
    pub(super) audits: Vec<(String, MemoryChain)>,
    /// How often each process has purged each token, or may have.
    pub(super) purges: BTreeMap<(String, String), u64>,
    /// What a replica that follows the reference's protocol has sent last, if that has not
    /// ended.
    pub(super) foreign_sent: BTreeMap<usize, (OpId, Mutation<Text<'static>>)>,
    /// Processes that died.
    pub(super) dead: BTreeSet<String>,
    /// The wall clocks.
    pub(crate) clocks: Clocks,
    /// Purges that may have been applied.
    pub(super) unsettled_purges: Vec<UnsettledPurge>,
    /// Tokens that could not be decrypted, or revealed a wrong plaintext.
    pub(super) undecryptable: Vec<String>,
    /// What processes have said since an operator last looked.
    pub(super) complaints: Vec<(usize, Complaint)>,
    /// The appends of operators under the keys that processes share.
    pub(super) keyed: BTreeSet<OpId>,
    /// The records that accept a loss and that a fault took.
    pub(super) lost_acceptances: Vec<AcceptedLoss<Text<'static>>>,
    /// How often an operator has begun to append a record.
    pub(super) operator_appends: u64,
    /// What audit records attested that a fault took.
    pub(super) lost_audits: Vec<Audit<Text<'static>>>,
    /// What was acknowledged by a Redis that a store has to refuse, and evicted.
    pub(super) evicted: Vec<Violation>,
    /// Writes to a primary that was deposed.
    pub(super) deposed_writes: Vec<String>,
    /// The operation of each mutation of the vault.
    pub(super) mutations: BTreeMap<String, OpId>,
    pub(super) anchors: AnchorLog,
    /// Locks, ends of tokens and replies that are not as the store promises.
    pub(super) misused: Vec<String>,
    pub(super) stats: AuditStats,
    pub(super) vault_stats: VaultStats,
    pub(super) outcomes: Outcomes,
    pub(super) vault_outcomes: Outcomes,
    pub(super) healed: bool,
    /// What callers ask for, if it is more than the primary's memory.
    pub(crate) durability: Option<Durability>,
    /// The first event that the history rejected.
    pub(super) malformed: Option<Malformed>,
    events: u64,
    /// The description to make, and after which event.
    observer: Option<(u64, Observer)>,
    /// The description that was made.
    pub(super) observed: Option<String>,
}

/// How many operations had each outcome.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Outcomes {
    /// Applied, or answered.
    pub ok: u64,
    /// Not applied.
    pub fail: u64,
    /// Unknown.
    pub unknown: u64,
}

impl Outcomes {
    /// Adds other counts.
    pub fn add(&mut self, other: Self) {
        self.ok += other.ok;
        self.fail += other.fail;
        self.unknown += other.unknown;
    }

    /// All operations.
    #[must_use]
    pub fn total(self) -> u64 {
        self.ok + self.fail + self.unknown
    }
}

/// What was recorded, once the run is over.
pub(crate) struct Closed {
    pub(crate) report: RunReport,
    pub(crate) observed: Option<String>,
    pub(crate) trace_hash: u64,
    pub(crate) trace: Vec<String>,
    pub(crate) foreign_failures: Vec<String>,
    pub(crate) undecryptable: Vec<String>,
}

impl Log {
    pub(crate) fn new(keep_trace: bool) -> Self {
        Self {
            recorder: Recorder::new(),
            trace: Trace::new(keep_trace),
            now: Duration::ZERO,
            time: None,
            appends: BTreeMap::new(),
            identities: BTreeMap::new(),
            altered: BTreeMap::new(),
            handles: BTreeMap::new(),
            unknown_appends: Unknown::default(),
            unknown_mutations: Unknown::default(),
            calls: BTreeMap::new(),
            called: BTreeMap::new(),
            situations: Vec::new(),
            stray_attempts: 0,
            foreign_failures: Vec::new(),
            audits: Vec::new(),
            purges: BTreeMap::new(),
            foreign_sent: BTreeMap::new(),
            dead: BTreeSet::new(),
            clocks: Clocks::default(),
            unsettled_purges: Vec::new(),
            undecryptable: Vec::new(),
            complaints: Vec::new(),
            keyed: BTreeSet::new(),
            lost_acceptances: Vec::new(),
            operator_appends: 0,
            lost_audits: Vec::new(),
            anchors: AnchorLog::default(),
            evicted: Vec::new(),
            deposed_writes: Vec::new(),
            mutations: BTreeMap::new(),
            misused: Vec::new(),
            stats: AuditStats::default(),
            vault_stats: VaultStats::default(),
            outcomes: Outcomes::default(),
            vault_outcomes: Outcomes::default(),
            healed: false,
            durability: None,
            malformed: None,
            events: 0,
            observer: None,
            observed: None,
        }
    }

    /// Sets the time that everything from here on is recorded at.
    pub(crate) fn set_now(&mut self, now: Duration) {
        self.now = now;
    }

    /// Describes the run after this event.
    pub(crate) fn observe_at(&mut self, event: u64, observer: Observer) {
        self.observer = Some((event, observer));
    }

    /// The history so far.
    pub(crate) fn history(&self) -> &History {
        self.recorder.history()
    }

    /// The time that everything is recorded at.
    pub(crate) fn now(&self) -> Duration {
        match &self.time {
            Some(time) => time(),
            None => self.now,
        }
    }

    pub(super) fn append_of(&mut self, append_id: AppendId, hash: &str) -> Option<OpId> {
        let sharing = self.appends.get_mut(&append_id)?;
        if let [only] = sharing[..] {
            return Some(only);
        }
        let history = self.recorder.history();
        let outcome = |op: &OpId| Some(&history.operations()[history.index_of(*op)?].outcome);
        let acknowledged = |op: &OpId| match outcome(op) {
            Some(Outcome::Appended(appended)) => history.text(appended.event_hash) == hash,
            _ => false,
        };
        let is_unknown = |op: &OpId| matches!(outcome(op), Some(Outcome::Unknown(_)));
        let found = sharing.iter().position(acknowledged);
        let found = found.or_else(|| sharing.iter().position(is_unknown))?;
        Some(sharing.remove(found))
    }

    /// Counts how an operation ended.
    pub(super) fn count(&mut self, op: OpId, add: impl Fn(&mut Outcomes)) {
        add(&mut self.outcomes);
        let history = self.recorder.history();
        let is_vault = history
            .index_of(op)
            .map(|index| history.operations()[index].f)
            .is_some_and(|f| matches!(f, Function::Mutate | Function::Read));
        if is_vault {
            add(&mut self.vault_outcomes);
        }
    }

    pub(super) fn malformed(&mut self, malformed: Malformed) {
        self.malformed.get_or_insert(malformed);
    }

    pub(super) fn accept<T>(&mut self, result: Result<T, Malformed>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(malformed) => {
                self.malformed.get_or_insert(malformed);
                None
            }
        }
    }

    pub(super) fn event(&mut self, line: impl FnOnce() -> String) {
        // The world's clock moves in whole milliseconds.
        let line = format!("{:>6} {}", self.now().as_millis(), line());
        self.trace.event(&line);
        self.events += 1;
        if let Some((event, observer)) = self.observer.take() {
            self.observed = (event <= self.events).then(|| observer(self)).flatten();
            if self.observed.is_none() {
                self.observer = Some((event, observer));
            }
        }
    }
}

pub(crate) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
