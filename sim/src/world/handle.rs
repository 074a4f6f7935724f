//! What the parts of one world share: the server, the faults that strike
//! commands, the recorder, and what the nemesis can do to each process.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex as StdMutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicI64, Ordering},
    },
    time::Duration,
};

use bytes::BytesMut;
use futures::FutureExt;
use haechi_store_redis::{
    chain::{LostRange, Position},
    crypto::manage,
    redis::{AuditKeys, AuditPrefix, SentinelTimes},
};
use parking_lot::Mutex;
use redis_sim::{Command, Config, Redis, Reply, ServerKind, SharedRedis, Snapshot};

use super::{
    Capture,
    clock::{EPOCH, PauseGate, SeededEntropy, SimClock, sleep},
    command_faults::CommandFaults,
    data_nodes::DataNodes,
    lock_watch::LockWatch,
    net::{Client, Connections, Power, SimConnect, SimNodes},
    operator_host::{Done, POLL, Tasks, operator_name},
    sentinels::time_to_hear,
    state,
    tenures::{Moment, Tenure},
};
use crate::{
    plan::{DurabilityKnobs, FaultKind, Knobs, ProcessFault, Schedule, Topology, generator},
    record::{Clocks, Log, RunRecorder, Situation, Source, replica_name},
    workload::{AnchorMedia, Host, KeyFaults, SeenMedia, SharedKeys},
};

/// The largest reply about the end of a chain: a few hashes and a head.
const END_BYTES: usize = 2000;
/// The most bytes of the records in a page, but for one.
const PAGE_BYTES: usize = 1 << 20;
/// The most connections of a process at a time: one for each store, one for its durable
/// writes, and twice as many while sinks are opened again.
const MOST_CONNECTIONS: usize = 16;

/// A handle on the world, for every task in it.
#[derive(Clone)]
pub(crate) struct WorldHandle(Arc<Inner>);

struct Inner {
    seed: u64,
    knobs: Knobs,
    nodes: Arc<Mutex<DataNodes>>,
    command_faults: Mutex<CommandFaults>,
    shared_keys: SharedKeys,
    recorder: RunRecorder,
    /// How far the server's wall clock is off, in milliseconds.
    server_skew: AtomicI64,
    locks: Mutex<Vec<LockWatch>>,
    /// How many processes are replicas.
    replicas: usize,
    durability: Option<DurabilityKnobs>,
    /// Of the processes, and after them of the operators.
    processes: Vec<ProcessControl>,
    tasks: Mutex<Tasks>,
    is_over: AtomicBool,
}

/// What the nemesis can do to one process.
struct ProcessControl {
    gate: PauseGate,
    power: Power,
    connections: Connections,
    skew: Arc<AtomicI64>,
    key_faults: KeyFaults,
    anchor_media: AnchorMedia,
    /// The replica of Redis that answers it instead of the primary.
    lagging: Mutex<Option<SharedRedis>>,
    /// Where there are two primaries: the one that serves it and will be demoted.
    demoted: Mutex<Option<SharedRedis>>,
    seen_media: SeenMedia,
    /// What it had seen that is gone, and the loss that was accepted for it.
    accepted: Mutex<Option<(Position, LostRange)>>,
}

impl ProcessControl {
    fn new(seed: u64, process: usize) -> Self {
        let medium = generator(seed, &format!("anchor medium of r{process}"));
        Self {
            gate: PauseGate::default(),
            power: Power::default(),
            connections: Connections::default(),
            skew: Arc::default(),
            key_faults: KeyFaults::default(),
            anchor_media: AnchorMedia::new(medium),
            lagging: Mutex::default(),
            demoted: Mutex::default(),
            seen_media: SeenMedia::new(generator(seed, &format!("seen file of r{process}"))),
            accepted: Mutex::default(),
        }
    }
}

impl WorldHandle {
    pub(crate) fn new(schedule: &Schedule, capture: Capture) -> Self {
        let seed = schedule.knobs.seed;
        let durability = schedule.knobs.durability;
        let count = match schedule.knobs.topology {
            Topology::Server => 1,
            Topology::Sentinel | Topology::Cluster => 2,
        };
        let servers = (0..count).map(|_| Arc::new(StdMutex::new(server(durability))));
        let nodes = Arc::new(Mutex::new(DataNodes::new(servers.collect())));
        let mut log = Log::new(capture.trace);
        log.durability = durability.map(|asked| asked.level);
        log.clocks = Clocks::from(EPOCH);
        if let Some(event) = capture.state_after {
            let nodes = nodes.clone();
            // If the server is locked now, it is not at the next event.
            let observe = move |log: &Log| {
                let redis = nodes.try_lock()?.primary();
                let redis = redis.try_lock().ok()?;
                Some(state::describe(redis.keyspace(), log))
            };
            log.observe_at(event, Box::new(observe));
        }
        let operations = schedule.operations.iter();
        Self(Arc::new(Inner {
            seed,
            knobs: schedule.knobs.clone(),
            nodes,
            command_faults: Mutex::new(CommandFaults::new(
                generator(seed, "command faults"),
                schedule.knobs.load > 0,
            )),
            shared_keys: SharedKeys::default(),
            recorder: RunRecorder::new(log, operations.cloned().map(Source::Listed)),
            server_skew: AtomicI64::new(0),
            locks: Mutex::default(),
            replicas: schedule.knobs.replicas,
            durability,
            tasks: Mutex::default(),
            is_over: AtomicBool::new(false),
            processes: (0..schedule.operations.len() + schedule.knobs.operator_count())
                .map(|process| ProcessControl::new(seed, process))
                .collect(),
        }))
    }

    pub(crate) fn redis(&self) -> SharedRedis {
        self.nodes(|nodes| nodes.primary())
    }

    pub(super) fn nodes<T>(&self, f: impl FnOnce(&mut DataNodes) -> T) -> T {
        f(&mut self.0.nodes.lock())
    }

    /// The world ends; what goes on in it is dropped.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }

    pub(super) fn is_over(&self) -> bool {
        self.0.is_over.load(Ordering::Relaxed)
    }

    pub(super) fn topology(&self) -> Topology {
        self.0.knobs.topology
    }

    /// The longest that a process takes to hear of a failover.
    pub(super) fn time_to_hear(&self) -> Duration {
        time_to_hear(&self.0.knobs)
    }

    /// After which time without an answer of a Sentinel a process stops to write, in
    /// milliseconds.
    pub(super) fn stop_after(&self) -> Option<u64> {
        let stop_after = self.0.knobs.sentinel_times().stop_after?;
        u64::try_from(stop_after.as_millis()).ok()
    }

    /// The server that answers a process at this node.
    pub(crate) fn redis_of(&self, process: usize, node: usize) -> SharedRedis {
        let process = &self.0.processes[process];
        let lagging = process.lagging.lock().clone();
        let other = lagging.or_else(|| process.demoted.lock().clone());
        other.unwrap_or_else(|| self.server(node))
    }

    /// Whether another server than the primary answers a process.
    pub(crate) fn is_elsewhere(&self, process: usize) -> bool {
        let process = &self.0.processes[process];
        process.lagging.lock().is_some() || process.demoted.lock().is_some()
    }

    /// Connects a process to a replica of Redis with this data, or to the primary.
    pub(crate) fn connect_to_replica(&self, process: usize, data: Option<&Snapshot>) {
        let replica = data.map(|data| {
            let replica = self.copy(data);
            lock(&replica).modes().readonly = true;
            lock(&replica).set_replicas(0, Duration::ZERO);
            replica
        });
        *self.0.processes[process].lagging.lock() = replica;
        self.command_faults(|faults| faults.cut_all_of(process));
    }

    /// Another server, with this data.
    pub(super) fn copy(&self, data: &Snapshot) -> SharedRedis {
        let mut redis = server(self.0.durability);
        redis.restore(data);
        redis.set_now(self.millis());
        Arc::new(StdMutex::new(redis))
    }

    /// How many replicas the primary has at most; `None` in a world that asks for no
    /// durability.
    pub(super) fn redis_replicas(&self) -> Option<usize> {
        self.0.durability.map(|asked| asked.replicas)
    }

    /// Connects so many replicas to a primary.
    pub(super) fn set_replicas(&self, redis: &mut Redis, count: usize) {
        if let Some(asked) = self.0.durability {
            redis.set_replicas(count, Duration::from_millis(asked.delay));
        }
    }

    /// Connects a process to a primary that will be demoted, or back to the other.
    pub(super) fn connect_to_demoted(&self, process: usize, redis: Option<SharedRedis>) {
        *self.0.processes[process].demoted.lock() = redis;
        self.command_faults(|faults| faults.cut_all_of(process));
    }

    /// The server's time, in Unix milliseconds.
    pub(super) fn millis(&self) -> u64 {
        let now = EPOCH + self.0.recorder.log().now();
        let millis = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        millis.saturating_add_signed(self.server_skew())
    }

    pub(crate) fn server_skew(&self) -> i64 {
        self.0.server_skew.load(Ordering::Relaxed)
    }

    /// Sets how far the server's clock is off; returns whether that changed it.
    pub(crate) fn set_server_skew(&self, millis: i64) -> bool {
        let before = self.0.server_skew.swap(millis, Ordering::Relaxed);
        self.0.recorder.server_clock_jumped(millis);
        let now = self.millis();
        for server in self.all_servers() {
            lock(&server).set_now(now);
        }
        before != millis
    }

    pub(crate) fn with_redis<T>(&self, f: impl FnOnce(&mut Redis) -> T) -> T {
        f(&mut lock(&self.redis()))
    }

    /// Runs a command on a connection of its own; `None` if the server refuses
    /// connections.
    pub(crate) fn run(&self, words: &[&[u8]]) -> Option<Reply> {
        self.run_at(&self.redis(), words)
    }

    /// The same, at this server.
    pub(super) fn run_at(&self, redis: &SharedRedis, words: &[&[u8]]) -> Option<Reply> {
        let command = Command::new(words.iter().map(|word| word.to_vec()))?;
        let mut redis = lock(redis);
        let mut session = redis.connect().ok()?;
        let reply = redis.execute(&mut session, &command);
        redis.disconnect(&session);
        Some(reply)
    }

    /// Watches these locks.
    pub(super) fn watch_locks(&self, locks: Vec<LockWatch>) {
        *self.0.locks.lock() = locks;
    }

    /// A fault may have changed the locks.
    pub(super) fn locks_changed_by_fault(&self) {
        let at = self.moment();
        self.with_redis(|redis| {
            for lock in &mut *self.0.locks.lock() {
                lock.changed_by_fault(redis.keyspace(), at);
            }
        });
    }

    /// The locks have come to another node, from which of two is not known: to a node to
    /// which a slot moves, a lock may be new that the other one has.
    pub(super) fn locks_have_moved(&self) {
        let at = self.moment();
        self.with_redis(|redis| {
            for lock in &mut *self.0.locks.lock() {
                lock.has_moved(redis.keyspace(), at);
            }
        });
    }

    /// Who had which lock, of the vault or not, by now.
    pub(super) fn tenures(&self) -> Vec<(bool, Vec<Tenure>)> {
        let at = self.moment();
        let mut locks = self.0.locks.lock();
        locks.iter_mut().map(|lock| lock.finish(at)).collect()
    }

    fn moment(&self) -> Moment {
        Moment {
            now: self.now(),
            server: self.millis(),
        }
    }

    /// A process may have changed the locks by a command.
    pub(super) fn check_locks(&self, process: usize) {
        let (at, is_replica) = (self.moment(), process < self.0.replicas);
        let wrong: Vec<String> = self.with_redis(|redis| {
            let (keys, mut locks) = (redis.keyspace(), self.0.locks.lock());
            let locks = locks.iter_mut();
            locks
                .filter_map(|lock| lock.after(keys, at, process, is_replica))
                .collect()
        });
        for reason in wrong {
            self.misused(reason);
        }
    }

    /// Callers share connections.
    pub(super) fn check_connections(&self) {
        for (number, process) in self.0.processes.iter().enumerate() {
            let most = process.connections.most();
            if most > MOST_CONNECTIONS {
                self.misused(format!("r{number} had {most} connections at a time"));
            }
        }
    }

    /// A reply about the end of the chain has no records, whose size is not bounded; a
    /// page has one, or so many as are not large together.
    pub(super) fn check_size(&self, command: &Command, reply: &Reply) {
        let Reply::Array(parts) = reply else { return };
        let sizes = parts.iter().map(|part| match part {
            Reply::Bulk(text) => text.len(),
            _ => 0,
        });
        let (all, largest) = (sizes.clone().sum::<usize>(), sizes.max().unwrap_or(0));
        if all - largest > PAGE_BYTES {
            self.misused(format!("a reply has {} records, {all} bytes", parts.len()));
        }
        let is_end = |kind: &&str| parts.first() == Some(&Reply::text(kind));
        let Some(kind) = ["conflict", "tail"].iter().find(|kind| is_end(kind)) else {
            return;
        };
        let chain = AuditKeys::new(AuditPrefix::default()).chain;
        let mut bytes = BytesMut::new();
        reply.encode(&mut bytes);
        if command
            .words()
            .get(3)
            .is_some_and(|key| *key == chain.as_bytes())
            && bytes.len() > END_BYTES
        {
            self.misused(format!("a reply {kind} has {} bytes", bytes.len()));
        }
    }

    pub(crate) fn command_faults<T>(&self, f: impl FnOnce(&mut CommandFaults) -> T) -> T {
        f(&mut self.0.command_faults.lock())
    }

    pub(super) fn meets(&self, situation: Situation) {
        self.command_faults(|faults| faults.met(situation));
    }

    pub(crate) fn struck(&self, kind: impl Into<FaultKind>) {
        self.command_faults(|faults| faults.struck(kind.into()));
    }

    /// Sets the time that everything from here on is recorded at.
    pub(crate) fn set_now(&self, now: Duration) {
        self.0.recorder.log().set_now(now);
        self.command_faults(|faults| faults.set_now(now));
        let millis = self.millis();
        for server in self.all_servers() {
            lock(&server).set_now(millis);
        }
        for process in &self.0.processes {
            for other in [&process.lagging, &process.demoted] {
                if let Some(other) = &*other.lock() {
                    lock(other).set_now(millis);
                }
            }
        }
    }

    /// The hosts that reach Redis, by the numbers of their processes.
    pub(super) fn client_hosts(&self) -> impl Iterator<Item = String> + use<> {
        let replicas = (0..self.process_count()).map(replica_name);
        replicas.chain((0..self.0.knobs.operator_count()).map(operator_name))
    }

    /// What operators have to do.
    pub(super) fn tasks<T>(&self, f: impl FnOnce(&mut Tasks) -> T) -> T {
        f(&mut self.0.tasks.lock())
    }

    /// A process is started next with this acceptance of what it had seen, or with none.
    pub(super) fn set_accepted(&self, process: usize, accepted: Option<(Position, LostRange)>) {
        *self.0.processes[process].accepted.lock() = accepted;
    }

    pub(crate) fn gate(&self, replica: Option<usize>) -> PauseGate {
        replica
            .and_then(|replica| self.0.processes.get(replica))
            .map(|process| process.gate.clone())
            .unwrap_or_default()
    }

    pub(crate) fn power(&self, replica: usize) -> &Power {
        &self.0.processes[replica].power
    }

    /// The faults of the way of a process to the storage of its keys.
    pub(crate) fn key_faults(&self, replica: Option<usize>) -> KeyFaults {
        replica
            .and_then(|replica| self.0.processes.get(replica))
            .map(|process| process.key_faults.clone())
            .unwrap_or_default()
    }

    /// The faults that the anchors of any process have met since this was last called.
    pub(crate) fn take_met_by_anchors(&self) -> Vec<ProcessFault> {
        let processes = self.0.processes.iter();
        processes
            .flat_map(|process| process.anchor_media.take_met())
            .collect()
    }

    /// The anchors of all processes are as they would be after a loss of power.
    pub(crate) fn keep_anchor_files(&self) {
        let processes = self.0.processes.iter();
        self.anchor_files(processes.flat_map(|process| process.anchor_media.durable()));
    }

    /// Adds an active key, if there are keys; `number` distinguishes rotations.
    pub(crate) fn rotate_keys(&self, number: usize) {
        let entropy = self.entropy(&format!("rotation {number}"));
        let clock = SimClock::new(PauseGate::default(), Arc::default());
        // In memory, it is ready at once.
        let rotated = manage::rotate(&self.0.shared_keys, &clock, &entropy).now_or_never();
        let count = rotated.and_then(Result::ok).map_or(0, |keys| keys.len());
        self.trace(|| format!("there are {count} keys"));
    }

    pub(crate) fn skew(&self, replica: Option<usize>, millis: i64) {
        let Some(replica) = replica else { return };
        if let Some(process) = self.0.processes.get(replica) {
            let skew = process.skew.fetch_add(millis, Ordering::Relaxed) + millis;
            self.0.recorder.clock_jumped(replica, skew);
        }
    }
}

impl Deref for WorldHandle {
    type Target = RunRecorder;

    fn deref(&self) -> &RunRecorder {
        &self.0.recorder
    }
}

impl Host for WorldHandle {
    type Clock = SimClock;
    type Entropy = SeededEntropy;
    type Connect = SimConnect;

    fn recorder(&self) -> &RunRecorder {
        &self.0.recorder
    }

    fn keys(&self, process: usize) -> (SharedKeys, KeyFaults) {
        let faults = &self.0.processes[process].key_faults;
        (self.0.shared_keys.clone(), faults.clone())
    }

    fn anchor_media(&self, process: usize) -> AnchorMedia {
        self.0.processes[process].anchor_media.clone()
    }

    fn seen_media(&self, process: usize) -> Option<SeenMedia> {
        let keeps = self.0.knobs.seen_files.contains(&process);
        keeps.then(|| self.0.processes[process].seen_media.clone())
    }

    fn accepted(&self, process: usize) -> Option<(Position, LostRange)> {
        *self.0.processes[process].accepted.lock()
    }

    async fn is_to_accept_vault_loss(&self, process: usize) {
        let this = (process, self.incarnation(process));
        while !self.tasks(|tasks| tasks.vault_losses.remove(&this)) {
            sleep(POLL).await;
        }
    }

    fn vault_loss_accepted(&self, process: usize) {
        self.meets(Situation::VaultLossAccepted);
        self.tasks(|tasks| tasks.done.push(Done::VaultLossAccepted(process)));
    }

    fn clock(&self, process: usize) -> SimClock {
        let process = &self.0.processes[process];
        SimClock::new(process.gate.clone(), process.skew.clone())
    }

    fn entropy(&self, process: &str) -> SeededEntropy {
        let generator = generator(self.0.seed, &format!("entropy {process}"));
        SeededEntropy::new(generator, self.0.recorder.clone())
    }

    fn connect(&self, process: usize, times: SentinelTimes) -> SimConnect {
        let clock = self.clock(process);
        let client = Client {
            world: self.clone(),
            process,
        };
        let process = &self.0.processes[process];
        let nodes = SimNodes {
            gate: process.gate.clone(),
            power: process.power.clone(),
            connections: process.connections.clone(),
            // The store's own clock bounds every wait.
            reply_timeout: None,
            client: Some(client),
        };
        SimConnect::new(nodes, clock, self.0.knobs.topology, times)
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}

/// A server of a world, with all its replicas.
fn server(durability: Option<DurabilityKnobs>) -> Redis {
    let mut config = Config::default();
    let Some(asked) = durability else {
        return Redis::new(config);
    };
    if asked.valkey {
        config.kind = ServerKind::Valkey9;
    }
    let delay = Duration::from_millis(asked.delay);
    let mut redis = Redis::new(config);
    redis.configure("appendonly", "yes");
    redis.set_replicas(asked.replicas, delay);
    redis.set_sync_delay(delay);
    redis
}

/// A server, to be looked at or changed.
pub(super) fn lock(redis: &SharedRedis) -> MutexGuard<'_, Redis> {
    redis.lock().unwrap_or_else(PoisonError::into_inner)
}
