//! The handle for recording, and the progress of each process: which operations
//! it has taken, begun and ended.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use haechi_history::{Function, OpId};
use haechi_store_redis::chain::AppendId;
use parking_lot::{Mutex, MutexGuard};

use super::{
    Situation,
    log::{Log, Time},
    recording_store::CALL,
};
use crate::plan::Operation;

/// How long a replica may make no progress after the last fault has healed, in
/// addition to three deadlines.
const PROGRESS_BOUND: Duration = Duration::from_secs(30);

/// How many times as long it may take until one operation of each kind has succeeded.
const PROOF_BOUNDS: u32 = 4;

/// Where a process takes its operations from.
pub(crate) enum Source {
    /// A list.
    Listed(Vec<Operation>),
    /// The next is drawn when it is taken.
    Drawn(Box<dyn Iterator<Item = Operation> + Send>),
}

/// A handle on what is recorded, for every task of every process.
#[derive(Clone)]
pub(crate) struct RunRecorder(Arc<Inner>);

struct Inner {
    log: Mutex<Log>,
    processes: Vec<Process>,
}

struct Process {
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
    last_progress: Duration,
    /// Whether the process has proved that it makes progress again.
    proved_progress: bool,
}

/// The name of a replica's first incarnation, and of its host.
pub(crate) fn replica_name(replica: usize) -> String {
    format!("r{replica}")
}

/// The number of the process that has this name, or of which it is a part.
pub(super) fn number_of(process: &str) -> Option<usize> {
    let digits = process.strip_prefix('r')?;
    digits.split(['.', '/']).next()?.parse().ok()
}

impl RunRecorder {
    /// Randomness as long as an append's identity was drawn; if by a call, the identity is its.
    pub(crate) fn drew(&self, id: [u8; 16]) {
        if let Ok(call) = CALL.try_with(|call| *call) {
            let id = AppendId::from_bytes(id).to_string();
            self.log().identities.entry(id).or_insert(call);
        }
    }

    /// The call that made an append.
    pub(super) fn call_of(&self, id: AppendId) -> Option<OpId> {
        self.log().identities.get(&id.to_string()).copied()
    }

    /// A recorder for processes with these operations.
    pub(crate) fn new(log: Log, sources: impl IntoIterator<Item = Source>) -> Self {
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

    /// A recorder for processes in real time.
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
        self.log().event(line);
    }

    // Processes.

    pub(crate) fn process_count(&self) -> usize {
        self.0.processes.len()
    }

    /// A process starts; returns the number of its incarnation.
    pub(crate) fn start_process(&self, replica: usize) -> u64 {
        let mut life = self.0.processes[replica].life.lock();
        life.incarnation += 1;
        life.incarnation
    }

    /// How often a process has started.
    pub(crate) fn incarnation(&self, replica: usize) -> u64 {
        self.0.processes[replica].life.lock().incarnation
    }

    /// The process died: its open operations do not end.
    pub(crate) fn crashed(&self, replica: usize) {
        let mut life = self.0.processes[replica].life.lock();
        let open = std::mem::take(&mut life.open);
        life.waiting = 0;
        self.0.log.lock().outcomes.unknown += open as u64;
        self.abandon_calls(replica);
    }

    /// Takes the next of a replica's operations and its number; `None` when
    /// none is left.
    pub(crate) fn take_operation(&self, replica: usize) -> Option<(usize, Operation)> {
        let process = &self.0.processes[replica];
        let mut life = process.life.lock();
        let number = life.taken;
        let (operation, is_last) = match &mut *process.source.lock() {
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
        let mut life = self.0.processes[replica].life.lock();
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
            .map(|process| process.life.lock().begun.clone())
            .collect()
    }

    pub(crate) fn has_proved_progress(&self, replica: usize) -> bool {
        self.0.processes[replica].life.lock().proved_progress
    }

    /// What callers asked for in operations that are mutations in the history.
    pub(crate) fn called(&self) -> BTreeMap<OpId, Function> {
        std::mem::take(&mut self.log().called)
    }

    /// The situations that calls met, as often as they did.
    pub(crate) fn situations(&self) -> Vec<Situation> {
        std::mem::take(&mut self.log().situations)
    }

    /// The replicas that have not proved progress, and completed no operation
    /// for too long after the last fault healed, or not one of each kind. `deadline` is
    /// that of an operation.
    pub(crate) fn stuck(&self, healed: Duration, deadline: Duration) -> Option<String> {
        let bound = PROGRESS_BOUND + deadline * 3;
        let now = self.now();
        let waits = |process: &usize| {
            let life = self.0.processes[*process].life.lock();
            let since = (life.last_progress + bound).min(healed + PROOF_BOUNDS * bound);
            !life.proved_progress && now > since.max(healed + bound)
        };
        let waiting: Vec<_> = (0..self.process_count())
            .filter(waits)
            .map(replica_name)
            .collect();
        (!waiting.is_empty()).then(|| {
            format!(
                "{} ms after the last fault healed, {} made no progress",
                now.saturating_sub(healed).as_millis(),
                waiting.join(", ")
            )
        })
    }

    pub(crate) fn prove_progress(&self, replica: usize) {
        self.0.processes[replica].life.lock().proved_progress = true;
    }

    /// The server's wall clock is off by so much from now on, in milliseconds.
    pub(crate) fn server_clock_jumped(&self, skew: i64) {
        let mut log = self.log();
        let now = log.now();
        log.clocks.server_jumped(now, skew);
    }

    /// A process's wall clock is off by so much from now on, in milliseconds.
    pub(crate) fn clock_jumped(&self, process: usize, skew: i64) {
        let mut log = self.log();
        let now = log.now();
        log.clocks.jumped(now, process, skew);
    }

    /// The last fault is over.
    pub(crate) fn heal(&self) {
        self.0.log.lock().healed = true;
    }

    pub(crate) fn is_healed(&self) -> bool {
        self.0.log.lock().healed
    }

    /// Whether every replica has begun all its operations, and none is open.
    pub(crate) fn is_idle(&self) -> bool {
        self.0.processes.iter().all(|process| {
            let life = process.life.lock();
            life.is_done && life.waiting == 0 && life.open == 0
        })
    }

    /// An operation begins.
    pub(super) fn opens(&self, process: usize) {
        self.0.processes[process].life.lock().open += 1;
    }

    /// An operation ends.
    pub(super) fn closes(&self, process: usize) {
        let mut life = self.0.processes[process].life.lock();
        life.open = life.open.saturating_sub(1);
    }

    /// An operation has succeeded.
    pub(super) fn progressed(&self, process: usize) {
        let now = self.now();
        self.0.processes[process].life.lock().last_progress = now;
    }

    pub(crate) fn log(&self) -> MutexGuard<'_, Log> {
        self.0.log.lock()
    }
}
