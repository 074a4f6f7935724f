//! What is written down of processes while they run: which operations they
//! have taken, begun and ended, and what they were told, for the history.
//!
//! It must not know what the processes run on: a world's parts, or real
//! sockets and threads.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haechi_store_redis::{
    AppendError, Corrupt,
    audit::{Appended, Stats},
    chain::{AppendId, Position},
    vault::VaultStats,
};

use super::{
    log::{Closed, Log, Time, nanos},
    shared::replica_name,
    trace::Trace,
};
use crate::{
    history::{Answer, End, FinalState, Function, Mutation, OpId},
    schedule::Operation,
};

/// Where a process takes its operations from.
pub(crate) enum Source {
    /// A list; nothing is left after its last.
    Listed(Vec<Operation>),
    /// The next is drawn when it is taken.
    Drawn(Box<dyn Iterator<Item = Operation> + Send>),
}

/// A handle on what is written down, for every task of every process.
#[derive(Clone)]
pub(crate) struct Ledger(Arc<Inner>);

struct Inner {
    log: Mutex<Log>,
    processes: Vec<Process>,
}

struct Process {
    /// What it is to do.
    source: Mutex<Source>,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    /// How often the process has started.
    incarnation: u64,
    /// Operations that a caller has taken.
    taken: usize,
    /// Whether no operation is left to take.
    is_done: bool,
    /// Operations that a caller has taken and not begun.
    waiting: usize,
    /// When each operation of a list began, in milliseconds.
    begun: Vec<Option<u64>>,
    /// Operations in which a live task is busy.
    open: usize,
    /// When an operation last succeeded.
    got_on: Duration,
    /// Whether the process has proved that it makes progress again.
    alive: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    /// A ledger for processes that do this.
    pub(super) fn new(log: Log, sources: impl IntoIterator<Item = Source>) -> Self {
        let process = |source: Source| {
            let mut life = Life::default();
            if let Source::Listed(operations) = &source {
                life.begun = vec![None; operations.len()];
                life.is_done = operations.is_empty();
            }
            Process {
                source: Mutex::new(source),
                life: Mutex::new(life),
            }
        };
        Self(Arc::new(Inner {
            log: Mutex::new(log),
            processes: sources.into_iter().map(process).collect(),
        }))
    }

    /// A ledger for processes that live in real time.
    pub(crate) fn in_time(time: Time, sources: impl IntoIterator<Item = Source>) -> Self {
        let mut log = Log::new(false);
        log.time = Some(time);
        Self::new(log, sources)
    }

    /// The time that everything is recorded at.
    pub(crate) fn now(&self) -> Duration {
        self.log().now()
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        self.log().note(line);
    }

    // Processes.

    pub(crate) fn process_count(&self) -> usize {
        self.0.processes.len()
    }

    /// A process starts; gives the number of its life.
    pub(crate) fn start_process(&self, replica: usize) -> u64 {
        let mut life = lock(&self.0.processes[replica].life);
        life.incarnation += 1;
        life.incarnation
    }

    /// The process died: what it was busy with has no end.
    pub(crate) fn crashed(&self, replica: usize) {
        let mut life = lock(&self.0.processes[replica].life);
        let open = std::mem::take(&mut life.open);
        life.waiting = 0;
        lock(&self.0.log).outcomes.unknown += open as u64;
        self.abandon_calls(replica);
    }

    /// Takes the next of a replica's operations and its number; `None` when
    /// none is left.
    pub(crate) fn take_operation(&self, replica: usize) -> Option<(usize, Operation)> {
        let process = &self.0.processes[replica];
        let mut life = lock(&process.life);
        let number = life.taken;
        let (operation, is_last) = match &mut *lock(&process.source) {
            Source::Listed(operations) => (
                operations.get(number).cloned(),
                number + 1 >= operations.len(),
            ),
            Source::Drawn(drawn) => (drawn.next(), false),
        };
        life.is_done = is_last || operation.is_none();
        let operation = operation?;
        life.taken += 1;
        life.waiting += 1;
        Some((number, operation))
    }

    /// An operation that was taken begins.
    pub(crate) fn begins(&self, replica: usize, number: usize) {
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        let mut life = lock(&self.0.processes[replica].life);
        life.waiting = life.waiting.saturating_sub(1);
        if let Some(begun) = life.begun.get_mut(number) {
            *begun = Some(now);
        }
    }

    /// When the operations of each replica began; `None` for those that never
    /// did.
    pub(crate) fn begun(&self) -> Vec<Vec<Option<u64>>> {
        let processes = self.0.processes.iter();
        processes
            .map(|process| lock(&process.life).begun.clone())
            .collect()
    }

    pub(crate) fn is_alive(&self, replica: usize) -> bool {
        lock(&self.0.processes[replica].life).alive
    }

    /// Who has not proved that it makes progress, and got nothing done for so
    /// long after the last fault healed. What it was to do anyway may take
    /// longer, as long as it gets on.
    pub(crate) fn stuck(&self, healed: Duration, bound: Duration) -> Option<String> {
        let now = self.now();
        let waits = |process: &usize| {
            let life = lock(&self.0.processes[*process].life);
            !life.alive && now > healed.max(life.got_on) + bound
        };
        let waiting: Vec<_> = (0..self.process_count())
            .filter(waits)
            .map(replica_name)
            .collect();
        (!waiting.is_empty()).then(|| {
            format!(
                "for {} ms after the last fault healed, {} got nothing done",
                bound.as_millis(),
                waiting.join(", ")
            )
        })
    }

    pub(crate) fn prove_alive(&self, replica: usize) {
        lock(&self.0.processes[replica].life).alive = true;
    }

    /// The last fault is over.
    pub(crate) fn heal(&self) {
        lock(&self.0.log).healed = true;
    }

    pub(crate) fn is_healed(&self) -> bool {
        lock(&self.0.log).healed
    }

    /// Whether every replica has begun all its operations and is in none.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.processes.iter().all(|process| {
            let life = lock(&process.life);
            life.is_done && life.waiting == 0 && life.open == 0
        })
    }

    // History.

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
        lock(&self.0.processes[replica].life).open += 1;
        let mut log = lock(&self.0.log);
        let now = nanos(log.now());
        let invoked = log.recorder.invoke_as(now, process, f, None, foreign);
        let op = log.accept(invoked)?;
        if let Some(append_id) = append_id {
            log.appends.entry(append_id).or_default().push(op);
        }
        log.note(|| format!("{process} op {} invokes {}", op.0, f.name()));
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
                self.end(
                    replica,
                    op,
                    End::Ok(Answer::Appended {
                        sequence,
                        event_hash: event_hash.as_str().into(),
                        durability: None,
                    }),
                    || format!("{process} op {} ok at {sequence} {event_hash}", op.0),
                );
            }
            Err(error) => {
                if let AppendError::Corrupt(Corrupt::RolledBack(rolled_back)) = error {
                    self.rollback(process, rolled_back);
                }
                let text = error.to_string();
                if let AppendError::Unknown { handle, .. } = error {
                    lock(&self.0.log).handles.insert(op, handle.position);
                }
                let end = match error {
                    AppendError::Unknown { .. } => End::Unknown {
                        error: Some(text.as_str().into()),
                        mutation: None,
                    },
                    _ => End::Fail {
                        error: Some(text.as_str().into()),
                    },
                };
                self.end(replica, op, end, || {
                    format!("{process} op {}: {text}", op.0)
                });
            }
        }
    }

    /// A reading of the whole chain ends.
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
                self.end(replica, op, End::Ok(Answer::Chain(hashes)), || {
                    format!("{process} op {} read {length} records", op.0)
                });
            }
            Err(error) => {
                let end = End::Fail {
                    error: Some(error.as_str().into()),
                };
                self.end(replica, op, end, || {
                    format!("{process} op {}: {error}", op.0)
                });
            }
        }
    }

    /// An operation ends.
    pub(crate) fn end(
        &self,
        replica: usize,
        op: OpId,
        end: End<'_>,
        line: impl FnOnce() -> String,
    ) {
        if matches!(end, End::Ok(_)) {
            let now = self.now();
            lock(&self.0.processes[replica].life).got_on = now;
        }
        let mut log = self.ending(replica);
        log.count(op, |outcomes| match end {
            End::Ok(_) => outcomes.ok += 1,
            End::Fail { .. } => outcomes.fail += 1,
            End::Unknown { .. } => outcomes.unknown += 1,
        });
        let now = nanos(log.now());
        let ended = log.recorder.end(now, op, end);
        log.accept(ended);
        log.note(line);
    }

    /// A mutation of the vault ends without having been applied; `attempt` is
    /// what it would have done.
    pub(crate) fn end_fail(
        &self,
        replica: usize,
        op: OpId,
        attempt: Option<Mutation<'_>>,
        error: &str,
        line: impl FnOnce() -> String,
    ) {
        let mut log = self.ending(replica);
        log.count(op, |outcomes| outcomes.fail += 1);
        let now = nanos(log.now());
        let ended = log.recorder.mutate_fail(now, op, attempt, error);
        log.accept(ended);
        log.note(line);
    }

    fn ending(&self, replica: usize) -> MutexGuard<'_, Log> {
        let mut life = lock(&self.0.processes[replica].life);
        life.open = life.open.saturating_sub(1);
        drop(life);
        lock(&self.0.log)
    }

    /// A mutation of a process that follows the reference's protocol failed.
    pub(crate) fn foreign_failed(&self, process: &str, error: &str) {
        let failure = format!("{process}: {error}");
        self.log().foreign_failures.push(failure);
    }

    fn rollback(&self, process: &str, rolled_back: &haechi_store_redis::RolledBack) {
        let mut log = lock(&self.0.log);
        let now = nanos(log.now());
        let said = log.recorder.rollback(
            now,
            process,
            rolled_back.seen.sequence.get(),
            &rolled_back.seen.event_hash.to_string(),
        );
        log.accept(said);
        log.note(|| format!("{process}: {rolled_back}"));
    }

    /// A token does not reveal as it should.
    pub(crate) fn undecryptable(&self, reason: String) {
        self.log().undecryptable.push(reason);
    }

    /// The append that wrote a record of this identity and hash. Where several
    /// share an identity, the one that was told so; each has one record.
    pub(crate) fn append_of(&self, append_id: AppendId, hash: &str) -> Option<OpId> {
        lock(&self.0.log).append_of(append_id, hash)
    }

    /// The only place that the handle of this append, if one was given out,
    /// allows its record.
    pub(crate) fn handle_of(&self, op: OpId) -> Option<Position> {
        lock(&self.0.log).handles.get(&op).copied()
    }

    pub(crate) fn final_state(&self, state: FinalState<'_>) {
        let mut log = lock(&self.0.log);
        let finished = log.recorder.final_state(state);
        log.accept(finished);
    }

    pub(crate) fn add_stats(&self, stats: Stats) {
        lock(&self.0.log).stats.add(stats);
    }

    pub(crate) fn add_vault_stats(&self, stats: VaultStats) {
        lock(&self.0.log).vault_stats.add(stats);
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.0.log)
    }

    /// Takes the log out.
    pub(crate) fn close(&self) -> Closed {
        let mut log = lock(&self.0.log);
        let (trace_hash, trace) = std::mem::replace(&mut log.trace, Trace::new(false)).finish();
        Closed {
            seen: log.seen.take(),
            history: std::mem::take(&mut log.recorder).into_history(),
            malformed: log.malformed.take(),
            trace_hash,
            trace,
            stats: log.stats,
            vault_stats: log.vault_stats,
            outcomes: log.outcomes,
            vault_outcomes: log.vault_outcomes,
            foreign_failures: std::mem::take(&mut log.foreign_failures),
            undecryptable: std::mem::take(&mut log.undecryptable),
            stray_attempts: log.stray_attempts,
        }
    }
}
