//! What is written down of processes while they run: which operations they
//! have taken, begun and ended, and what they were told, for the history.
//!
//! It must not know what the processes run on: a world's parts, or real
//! sockets and threads.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use super::{
    config::Config,
    log::{Log, Time},
    shared::replica_name,
};
use crate::schedule::Operation;

/// How long a replica may go without getting anything done after all has
/// healed, beyond the deadlines that were drawn.
const PROGRESS_BOUND: Duration = Duration::from_secs(30);

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
    pub(crate) fn stuck(&self, healed: Duration, config: &Config) -> Option<String> {
        let vault = config.vault.as_ref();
        let deadline = vault.map_or(config.deadline, |vault| vault.deadline);
        let bound = PROGRESS_BOUND + Duration::from_millis(deadline) * 3;
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

    /// An operation begins.
    pub(super) fn opens(&self, process: usize) {
        lock(&self.0.processes[process].life).open += 1;
    }

    /// An operation ends.
    pub(super) fn closes(&self, process: usize) {
        let mut life = lock(&self.0.processes[process].life);
        life.open = life.open.saturating_sub(1);
    }

    /// An operation has succeeded.
    pub(super) fn gets_on(&self, process: usize) {
        let now = self.now();
        lock(&self.0.processes[process].life).got_on = now;
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Log> {
        lock(&self.0.log)
    }
}
