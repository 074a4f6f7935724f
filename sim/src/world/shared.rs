//! What the parts of one world share: the server, the weather, the history,
//! and what the nemesis can do to each process.

use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    AppendError, Corrupt,
    audit::{Appended, Stats},
    chain::{AppendId, Position},
    vault::VaultStats,
};

use super::{
    Watch,
    clock::{EPOCH, PauseGate, SimClock, generator, sleep},
    log::{Closed, Log, nanos},
    net::{Power, SimConnect},
    trace::Trace,
    vault::Safe,
    weather::Weather,
};
use crate::{
    fault::FaultKind,
    history::{Answer, End, FinalState, Function, Mutation, OpId},
    redis::{Command, Redis, Reply, server},
    schedule::{Operation, Schedule},
};

/// The host name of a replica.
pub(crate) fn replica_name(replica: usize) -> String {
    format!("r{replica}")
}

/// A handle on the world, for every task in it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    redis: server::Shared<Redis>,
    weather: Mutex<Weather>,
    safe: Safe,
    log: Mutex<Log>,
    replicas: Vec<Replica>,
}

struct Replica {
    /// What it is to do.
    operations: Vec<Operation>,
    gate: PauseGate,
    power: Power,
    skew: Arc<AtomicI64>,
    life: Mutex<Life>,
}

#[derive(Default)]
struct Life {
    /// How often the process has started.
    incarnation: u64,
    /// Operations that a caller has taken.
    taken: usize,
    /// Operations that a caller has taken and not begun.
    waiting: usize,
    /// When each operation began, in milliseconds.
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

impl Shared {
    pub(crate) fn new(schedule: &Schedule, redis: Redis, watch: Watch) -> Self {
        let config = &schedule.config;
        let redis = Arc::new(Mutex::new(redis));
        let mut log = Log::new(watch.keep_trace);
        log.looks_at(watch.until, &redis);
        Self(Arc::new(Inner {
            redis,
            weather: Mutex::new(Weather::new(generator(config.seed, "weather"))),
            safe: Safe::default(),
            log: Mutex::new(log),
            replicas: schedule
                .operations
                .iter()
                .map(|operations| Replica {
                    operations: operations.clone(),
                    gate: PauseGate::default(),
                    power: Power::default(),
                    skew: Arc::default(),
                    life: Mutex::new(Life {
                        begun: vec![None; operations.len()],
                        ..Life::default()
                    }),
                })
                .collect(),
        }))
    }

    pub(crate) fn redis(&self) -> server::Shared<Redis> {
        self.0.redis.clone()
    }

    pub(crate) fn with_redis<T>(&self, f: impl FnOnce(&mut Redis) -> T) -> T {
        f(&mut lock(&self.0.redis))
    }

    /// Runs a command behind everybody's back; `None` if the server lets
    /// nobody in.
    pub(crate) fn run(&self, words: &[&[u8]]) -> Option<Reply> {
        let command = Command::new(words.iter().map(|word| word.to_vec()))?;
        self.with_redis(|redis| {
            let mut session = redis.connect().ok()?;
            let reply = redis.execute(&mut session, &command);
            redis.disconnect(&session);
            Some(reply)
        })
    }

    pub(crate) fn weather<T>(&self, f: impl FnOnce(&mut Weather) -> T) -> T {
        f(&mut lock(&self.0.weather))
    }

    /// What the processes share beside Redis.
    pub(crate) fn safe(&self) -> &Safe {
        &self.0.safe
    }

    pub(crate) fn struck(&self, kind: FaultKind) {
        self.weather(|weather| weather.struck(kind));
    }

    /// Sets the time that everything from here on is recorded at.
    pub(crate) fn set_now(&self, now: Duration) {
        lock(&self.0.log).now = now;
        self.weather(|weather| weather.set_now(now));
        let millis = u64::try_from((EPOCH + now).as_millis()).unwrap_or(u64::MAX);
        self.with_redis(|redis| redis.set_now(millis));
    }

    pub(crate) fn now(&self) -> Duration {
        lock(&self.0.log).now
    }

    pub(crate) fn trace(&self, line: impl FnOnce() -> String) {
        let mut log = lock(&self.0.log);
        log.note(line);
    }

    // Processes.

    pub(crate) fn replica_count(&self) -> usize {
        self.0.replicas.len()
    }

    pub(crate) fn gate(&self, replica: Option<usize>) -> PauseGate {
        replica
            .and_then(|replica| self.0.replicas.get(replica))
            .map(|replica| replica.gate.clone())
            .unwrap_or_default()
    }

    /// How a process of this replica reaches Redis.
    pub(crate) fn connect(&self, replica: usize) -> SimConnect {
        let replica = &self.0.replicas[replica];
        SimConnect {
            gate: replica.gate.clone(),
            power: replica.power.clone(),
        }
    }

    pub(crate) fn power(&self, replica: usize) -> &Power {
        &self.0.replicas[replica].power
    }

    pub(crate) fn skew(&self, replica: Option<usize>, millis: i64) {
        if let Some(replica) = replica.and_then(|replica| self.0.replicas.get(replica)) {
            replica.skew.fetch_add(millis, Ordering::Relaxed);
        }
    }

    pub(crate) fn clock(&self, replica: usize) -> SimClock {
        let replica = &self.0.replicas[replica];
        SimClock::new(replica.gate.clone(), replica.skew.clone())
    }

    /// A process starts; gives the number of its life.
    pub(crate) fn start_process(&self, replica: usize) -> u64 {
        let mut life = lock(&self.0.replicas[replica].life);
        life.incarnation += 1;
        life.incarnation
    }

    /// The process died: what it was busy with has no end.
    pub(crate) fn crashed(&self, replica: usize) {
        let mut life = lock(&self.0.replicas[replica].life);
        let open = std::mem::take(&mut life.open);
        life.waiting = 0;
        lock(&self.0.log).outcomes.unknown += open as u64;
        self.abandon_calls(replica);
    }

    /// Takes the next of a replica's operations and its number; `None` when
    /// none is left.
    pub(crate) fn take_operation(&self, replica: usize) -> Option<(usize, Operation)> {
        let replica = &self.0.replicas[replica];
        let mut life = lock(&replica.life);
        let number = life.taken;
        let operation = replica.operations.get(number)?.clone();
        life.taken += 1;
        life.waiting += 1;
        Some((number, operation))
    }

    /// Waits until an operation that was taken is to begin.
    pub(crate) async fn begins(&self, replica: usize, number: usize, operation: &Operation) {
        if operation.think > 0 {
            sleep(Duration::from_millis(operation.think)).await;
        }
        if let Some(early) = Duration::from_millis(operation.at).checked_sub(self.now())
            && !early.is_zero()
        {
            sleep(early).await;
        }
        let now = u64::try_from(self.now().as_millis()).unwrap_or(u64::MAX);
        let mut life = lock(&self.0.replicas[replica].life);
        life.waiting = life.waiting.saturating_sub(1);
        life.begun[number] = Some(now);
    }

    /// When the operations of each replica began; `None` for those that never
    /// did.
    pub(crate) fn begun(&self) -> Vec<Vec<Option<u64>>> {
        let replicas = self.0.replicas.iter();
        replicas
            .map(|replica| lock(&replica.life).begun.clone())
            .collect()
    }

    pub(crate) fn is_alive(&self, replica: usize) -> bool {
        lock(&self.0.replicas[replica].life).alive
    }

    /// When an operation of this replica last succeeded.
    pub(crate) fn got_on(&self, replica: usize) -> Duration {
        lock(&self.0.replicas[replica].life).got_on
    }

    pub(crate) fn prove_alive(&self, replica: usize) {
        lock(&self.0.replicas[replica].life).alive = true;
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
        self.0.replicas.iter().all(|replica| {
            let life = lock(&replica.life);
            life.taken == replica.operations.len() && life.waiting == 0 && life.open == 0
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
        lock(&self.0.replicas[replica].life).open += 1;
        let mut log = lock(&self.0.log);
        let now = nanos(log.now);
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
            lock(&self.0.replicas[replica].life).got_on = self.now();
        }
        let mut log = self.ending(replica);
        log.count(op, |outcomes| match end {
            End::Ok(_) => outcomes.ok += 1,
            End::Fail { .. } => outcomes.fail += 1,
            End::Unknown { .. } => outcomes.unknown += 1,
        });
        let now = nanos(log.now);
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
        let now = nanos(log.now);
        let ended = log.recorder.mutate_fail(now, op, attempt, error);
        log.accept(ended);
        log.note(line);
    }

    fn ending(&self, replica: usize) -> MutexGuard<'_, Log> {
        let mut life = lock(&self.0.replicas[replica].life);
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
        let now = nanos(log.now);
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

    /// Takes the log out of the world.
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
            faults: self.weather(|weather| weather.strikes().clone()),
        }
    }
}
