//! A world from a seed: every knob is drawn, and every knob is printed.

use std::{num::NonZeroU64, time::Duration};

use haechi_store_redis::{
    Durability,
    redis::{LockPolicy, LockTimes, SentinelTimes, Timeouts},
};
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{
    CommandFault, DurabilityKnobs, Fault, FaultKind, OperatorKnobs, Scale, Topology, VaultKnobs,
    Workload, generator, topology::lose_data, vault_knobs::MOST_LOADED,
};

/// What the caller decides; the seed decides the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldOptions {
    /// Replicas; drawn from 2 to 5 if not given.
    pub replicas: Option<usize>,
    /// Operations a replica.
    pub ops: usize,
    /// What the replicas do.
    pub workload: Workload,
    /// Faults that may strike.
    pub faults: Vec<FaultKind>,
    /// Callers that the first replica has at once at its begin; drawn if not given.
    pub load: Option<usize>,
    /// Tokens that the vault has before the world begins; drawn if not given.
    pub loaded: Option<usize>,
    /// Whether some worlds ask for more durability than the primary's memory.
    pub durability: bool,
    /// The way to Redis in worlds without load and without a loaded vault; drawn if not
    /// given.
    pub topology: Option<Topology>,
}

impl Default for WorldOptions {
    fn default() -> Self {
        Self {
            replicas: None,
            ops: 40,
            workload: Workload::default(),
            faults: FaultKind::all().collect(),
            load: None,
            loaded: None,
            durability: true,
            topology: None,
        }
    }
}

impl WorldOptions {
    /// Whether some worlds have this fault.
    pub(crate) fn has(&self, kind: FaultKind) -> bool {
        let can_strike = |topology: Topology| topology.has(kind);
        self.faults.contains(&kind) && self.topology.is_none_or(can_strike)
    }
}

/// Simulated time between two steps of a world, in milliseconds. Every host is
/// polled at every step, and latencies are whole milliseconds, so smaller steps
/// only cost time.
pub(crate) const TICK_MS: u64 = 5;
/// The longest time that a schedule may name, in milliseconds.
pub(crate) const LONGEST_MS: u64 = 86_400_000;
/// The most processes, and the most writers in one.
const MAX_PROCESSES: usize = 100;
/// The most bytes by which events are larger, and by which they are in worlds.
const MAX_PADDING: usize = 1 << 20;
const LARGE_PADDING: usize = MAX_PADDING - 1000;
/// The most callers at once.
const MAX_LOAD: usize = 10_000;

/// Everything about one world that is fixed before it starts. Times are in
/// milliseconds of simulated time.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Knobs {
    /// The seed of the draw, and of jitter and identities during the run.
    pub seed: u64,
    /// Replicas, each a process of its own.
    pub replicas: usize,
    /// Operations that are drawn for a replica.
    #[serde(skip)]
    pub ops: usize,
    /// Tasks in a replica that call the store at the same time.
    pub writers: usize,
    /// Percentage of drawn operations that read the whole chain.
    #[serde(skip)]
    pub reads_percent: u32,
    /// Percentage of drawn events that are identical.
    #[serde(skip)]
    pub identical_percent: u32,
    /// The longest pause of a writer between two operations.
    #[serde(skip)]
    pub think: u64,
    /// Minimum and maximum latency of one direction.
    pub latency: (u64, u64),
    /// Whether times are those of production, not scaled down.
    #[serde(skip)]
    pub production_times: bool,
    /// The lock's TTL, the wait for it and the retry interval; `None` if it is
    /// never taken.
    pub lock: Option<(u64, u64, u64)>,
    /// How long an append may take.
    pub deadline: u64,
    /// Connect and reply timeouts.
    pub timeouts: (u64, u64),
    /// Records in a batch.
    pub batch_records: usize,
    /// Events that may be queued.
    pub queue_capacity: usize,
    /// Bytes by which the first replica's events are larger than others.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub padding: usize,
    /// What the replicas do.
    pub workload: Workload,
    /// The vault, if there is one.
    pub vault: Option<VaultKnobs>,
    /// What acknowledgements promise, if more than the primary's memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub durability: Option<DurabilityKnobs>,
    /// The way to Redis.
    #[serde(default, skip_serializing_if = "Topology::is_server")]
    pub topology: Topology,
    /// Whether writes stop while no Sentinel answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub stops_in_silence: bool,
    /// Whether there are no faults, so that foreign writers have to make
    /// progress.
    pub quiet: bool,
    /// Whether every process has to prove progress at the end.
    pub settles: bool,
    /// The time span in which faults begin.
    #[serde(skip)]
    pub chaos: u64,
    /// The faults, by the time at which they begin.
    #[serde(skip)]
    pub faults: Vec<Fault>,
    /// Callers that the first replica has at once at its begin, on a server whose
    /// scripts take time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub load: usize,
    /// The anchors of the chain, if there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub anchors: Option<AnchorKnobs>,
    /// Who sees to losses of the chain by the store's own means; `None`: the world itself
    /// starts who complains again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operators: Option<OperatorKnobs>,
    /// The replicas that keep what they have seen of the chain in files, which outlive them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub seen_files: Vec<usize>,
    /// Whether times are real: then the machine decides when an operation ends.
    #[serde(skip)]
    pub real_time: bool,
    /// Bytes that callers may bring while they wait; 0: as many as in production.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub queue_bytes: usize,
}

/// Which replicas anchor the chain, each on a medium of its own, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AnchorKnobs {
    /// Every record whose sequence is a multiple of this is anchored.
    pub every: NonZeroU64,
    /// The replicas.
    pub replicas: Vec<usize>,
}

impl AnchorKnobs {
    /// Draws the anchors of a world: in one of three there are some.
    fn draw(rng: &mut impl Rng, replicas: usize) -> Option<Self> {
        if !rng.random_ratio(1, 3) {
            return None;
        }
        let every = [1, 1, 2, 3, 7][rng.random_range(0..5)];
        let first = rng.random_range(0..replicas);
        let is_anchoring = |replica: &usize| *replica == first || rng.random_bool(0.5);
        Some(Self {
            every: NonZeroU64::new(every)?,
            replicas: (0..replicas).filter(is_anchoring).collect(),
        })
    }
}

/// Who keeps what was seen in a file: in one of two worlds, each replica perhaps.
fn draw_seen_files(rng: &mut impl Rng, replicas: usize) -> Vec<usize> {
    match rng.random_bool(0.5) {
        true => (0..replicas).filter(|_| rng.random_ratio(2, 3)).collect(),
        false => Vec::new(),
    }
}

fn is_zero(number: &usize) -> bool {
    *number == 0
}

impl Knobs {
    /// Draws a world.
    #[must_use]
    pub fn draw(seed: u64, options: &WorldOptions) -> Self {
        let mut rng = generator(seed, "knobs");
        let rng = &mut rng;
        let replicas = options
            .replicas
            .unwrap_or_else(|| rng.random_range(2..=5))
            .max(1);
        let production_times = rng.random_ratio(1, 50);
        let scaled = |rng: &mut dyn Rng, production: u64| {
            if production_times {
                production
            } else {
                rng.random_range(50..=500)
            }
        };
        let least = rng.random_range(1..=5);
        let latency = (least, least + [0, 2, 10, 40][rng.random_range(0..4)]);
        let reply_timeout = scaled(rng, 2000).max(2 * latency.1 + 10);
        let lock_ttl = scaled(rng, 10_000);
        let lock = rng.random_bool(0.4).then(|| {
            let wait = if production_times {
                250
            } else {
                lock_ttl / 4 + 5
            };
            (lock_ttl, wait, 20.min(wait))
        });
        let deadline = scaled(rng, 10_000).max(reply_timeout) * rng.random_range(1..=3);
        let short = &mut generator(seed, "short deadlines");
        let deadline = if lock.is_none() && replicas <= 3 && short.random_ratio(1, 4) {
            short.random_range(20..=60).max(4 * (latency.1 + TICK_MS))
        } else {
            deadline
        };
        let writers = [1, 1, 2, 4, 8][rng.random_range(0..5)].min(options.ops.max(1));
        let think = [0, 0, 5, 20][rng.random_range(0..4)];
        // About as long as the operations and the start take without faults.
        let round = (latency.0 + latency.1).max(2 * TICK_MS) + think / 2;
        let mut chaos = round * (options.ops / writers + 1) as u64 * 3 / 2 + 4 * round;
        let load = options.load.unwrap_or_else(|| {
            let rng = &mut generator(seed, "load");
            match rng.random_range(0..200) {
                0 => rng.random_range(500..=5000),
                1..=4 => rng.random_range(50..=500),
                _ => 0,
            }
        });
        let sizes = &mut generator(seed, "sizes");
        let padding = match sizes.random_range(0..400) {
            0..4 => sizes.random_range(300_000..=LARGE_PADDING),
            _ => [0, 0, 0, 0, 0, 0, 5000, 20_000][generator(seed, "padding").random_range(0..8)],
        };
        // About as many callers as wait, or fewer.
        let queue_bytes = match load {
            0 => 0,
            _ if sizes.random_bool(0.5) => sizes.random_range(1 << 16..=1 << 20),
            _ => 0,
        };
        let mut vault = options.workload.has_vault().then(|| {
            // Two rounds a mutation.
            chaos *= 2;
            let rng = &mut generator(seed, "vault knobs");
            let quiet = options.faults.is_empty() || load > 0;
            // With less, most mutations would end as unknown, and their order too.
            let mut vault = VaultKnobs::draw(rng, options.ops, quiet, deadline.max(6 * latency.1));
            if load == 0 {
                vault.load(&mut generator(seed, "loaded"), options.loaded);
            }
            vault
        });
        let is_loaded = vault.as_ref().is_some_and(|vault| vault.loaded > 0);
        let topologies = &mut generator(seed, "topology");
        let drawn = Topology::draw(topologies);
        let topology = match load == 0 && !is_loaded {
            true => options.topology.unwrap_or(drawn),
            false => Topology::Server,
        };
        // Longer than a dial, at least twice.
        let connect_timeout = reply_timeout.max(topology.connect_time(latency.1));
        let deadline = match topology {
            Topology::Server => deadline,
            _ => deadline.max(3 * connect_timeout),
        };
        if let Some(vault) = vault.as_mut().filter(|_| !topology.is_server()) {
            vault.deadline = vault.deadline.max(3 * connect_timeout);
        }
        let chaos = chaos.clamp(100, 20_000);
        let foreign = vault.as_ref().map_or(0, |vault| vault.foreign);
        let scale = Scale {
            chaos,
            reply_timeout,
            deadline: vault
                .as_ref()
                .map_or(deadline, |vault| vault.deadline.max(deadline)),
            lock_ttl,
        };
        // What load alone does is judged.
        let kinds = if load > 0 { &[][..] } else { &options.faults };
        let rng_of = |purpose| generator(seed, purpose);
        let mut faults = Fault::draw_some(&mut rng_of("faults"), kinds, replicas + foreign, scale);
        let evicting = &mut rng_of("evicting restart");
        let evicting = Fault::draw_evicting_restart(evicting, kinds, replicas + foreign, scale);
        let drawn = Fault::draw_losses(&mut rng_of("data loss"), kinds, replicas + foreign, scale);
        let mut losses = evicting.map_or(drawn, |fault| vec![fault]);
        // A loss names every token.
        losses.retain(|fault| !is_loaded && topology.has(fault.kind));
        faults.retain(|fault| topology.has(fault.kind));
        let own = topology.draw_faults(topologies, &mut faults, kinds, scale);
        if lose_data(&own) {
            losses.clear();
        }
        let (own_losses, own) = own
            .into_iter()
            .partition(|fault| lose_data(std::slice::from_ref(fault)));
        let own_losses: Vec<Fault> = own_losses;
        losses.extend(own_losses);
        faults.extend::<Vec<Fault>>(own);
        // A process whose last receipt would be gone anyway does not know whether it was
        // lost.
        if let Some(vault) = vault.as_mut().filter(|_| !losses.is_empty()) {
            vault.keep_all_receipts();
            if !topology.is_server() {
                // What they wrote since the failover has no place that a checker knows.
                vault.foreign_ops = vault.foreign_ops.min(3);
            }
        }
        let comes_late = |fault: &Fault| fault.kind == CommandFault::LateCommand.into();
        let few = losses.is_empty() && faults.iter().any(comes_late);
        if let Some(vault) = vault.as_mut().filter(|_| few)
            && rng_of("late without receipt").random_bool(0.5)
        {
            vault.receipts = 1;
        }
        // What waits for replicas is not load alone. No level survives the loss of single
        // keys; and of writes that wait, more are under way then than a checker can order.
        let can_wait = options.durability && load == 0 && !losses.iter().any(Fault::strikes_keys);
        let durability =
            DurabilityKnobs::draw(&mut rng_of("durability"), production_times).filter(|_| can_wait);
        let anchors = &mut generator(seed, "anchors");
        let has_chain = options.workload.has_chain();
        let drawn = has_chain.then(|| AnchorKnobs::draw(anchors, replicas));
        let anchoring = drawn.flatten();
        if let Some(anchoring) = &anchoring {
            let of_anchors = Fault::draw_of_anchors(anchors, kinds, &anchoring.replicas, scale);
            faults.extend(of_anchors);
        }
        let loses = has_chain && !losses.is_empty();
        let seen_files = match loses {
            true => draw_seen_files(&mut generator(seed, "seen files"), replicas),
            false => Vec::new(),
        };
        let operators =
            loses.then(|| OperatorKnobs::draw(&mut generator(seed, "operators"), replicas));
        faults.extend(losses);
        faults.sort_by_key(|fault| fault.at);
        Self {
            seed,
            replicas,
            ops: options.ops,
            writers,
            reads_percent: [0, 5, 10, 20][rng.random_range(0..4)],
            identical_percent: [0, 0, 30, 100][rng.random_range(0..4)],
            think,
            latency,
            production_times,
            lock,
            deadline,
            timeouts: (connect_timeout, reply_timeout),
            batch_records: [1, 2, 8, 256][rng.random_range(0..4)],
            queue_capacity: [2, 64, 4096][rng.random_range(0..3)],
            padding: if load > 0 {
                padding.min(20_000)
            } else {
                padding
            },
            workload: options.workload,
            vault,
            durability,
            topology,
            stops_in_silence: topology == Topology::Sentinel && topologies.random_bool(0.5),
            quiet: faults.is_empty(),
            settles: true,
            chaos,
            faults,
            load,
            anchors: anchoring,
            operators: operators.flatten(),
            seen_files,
            queue_bytes,
            real_time: false,
        }
    }

    /// Of which records this process has anchors, if of any.
    pub(crate) fn anchored_every(&self, process: usize) -> Option<NonZeroU64> {
        let anchors = self.anchors.as_ref();
        let anchors = anchors.filter(|anchors| anchors.replicas.contains(&process));
        anchors.map(|anchors| anchors.every)
    }

    /// How many operators there are, each on a host of its own.
    pub(crate) fn operator_count(&self) -> usize {
        self.operators
            .as_ref()
            .map_or(0, |operators| operators.operators)
    }

    /// Whether this process goes on from what was accepted under shared keys.
    pub(crate) fn shares_loss_keys(&self, process: usize) -> bool {
        let operators = self.operators.as_ref();
        operators.is_some_and(|operators| operators.sharing.contains(&process))
    }

    /// All processes: the replicas, and after them those that follow the
    /// reference's protocol.
    #[must_use]
    pub fn processes(&self) -> usize {
        let foreign = self.vault.as_ref().map_or(0, |vault| vault.foreign);
        self.replicas.saturating_add(foreign)
    }

    /// How long an operation may take.
    pub(crate) fn longest_deadline(&self) -> Duration {
        let vault = self.vault.as_ref().map_or(0, |vault| vault.deadline);
        Duration::from_millis(vault.max(self.deadline))
    }

    /// How many operations are drawn for a process.
    pub(crate) fn ops_of(&self, process: usize) -> usize {
        match &self.vault {
            Some(vault) if process >= self.replicas => vault.foreign_ops,
            _ => self.ops,
        }
    }

    /// Whether a world can be built from this; anything that was drawn passes.
    ///
    /// # Errors
    ///
    /// The reason why not.
    pub(crate) fn ready(&self) -> Result<(), String> {
        let vault = self.vault.as_ref();
        let wrong = [
            (self.replicas == 0, "there is no replica"),
            (self.writers == 0, "a replica has no writers"),
            (
                self.latency.0 > self.latency.1,
                "the latencies are the wrong way round",
            ),
            (
                self.batch_records == 0 || self.queue_capacity == 0,
                "batch_records or queue_capacity is 0",
            ),
            (
                self.workload.has_vault() != vault.is_some(),
                "the workload has a vault, or the world, but not both",
            ),
            (
                vault.is_some_and(|vault| !(1..=MAX_PROCESSES).contains(&vault.tokens)),
                "the vault has no contended tokens, or more than a hundred",
            ),
            (
                vault.is_some_and(|vault| vault.loaded > MOST_LOADED),
                "more tokens are loaded than a vault has that is read at once",
            ),
            (
                vault.is_some_and(|vault| vault.receipts == 0),
                "the vault keeps no receipts",
            ),
            (
                self.anchors.is_some() && !self.workload.has_chain(),
                "there are anchors, but no chain",
            ),
            (
                self.seen_files
                    .iter()
                    .any(|replica| *replica >= self.replicas),
                "a replica that does not exist keeps what it has seen",
            ),
            (
                self.operators.is_some() && !self.workload.has_chain(),
                "there are operators, but no chain",
            ),
        ];
        if let Some((_, why)) = wrong.into_iter().find(|(is_wrong, _)| *is_wrong) {
            return Err(why.to_owned());
        }
        let durability = self.durability.as_ref();
        if let Some(why) = durability.and_then(DurabilityKnobs::wrong) {
            return Err(why.to_owned());
        }
        let operators = self.operators.as_ref();
        if let Some(why) = operators.and_then(|operators| operators.wrong(self.replicas)) {
            return Err(why.to_owned());
        }
        let times = [
            self.deadline,
            self.latency.1,
            self.timeouts.0,
            self.timeouts.1,
        ];
        let lock = self.lock.map(|(ttl, wait, retry)| [ttl, wait, retry]);
        let vault_times = vault.map(|vault| [vault.deadline, vault.foreign_lock_wait]);
        let durability_times = durability.map(|asked| [asked.delay, asked.patience]);
        let mut times = times
            .into_iter()
            .chain(lock.into_iter().flatten())
            .chain(vault_times.into_iter().flatten())
            .chain(durability_times.into_iter().flatten())
            .chain(self.faults.iter().flat_map(|fault| [fault.at, fault.lasts]));
        let deadline = vault.map_or(self.deadline, |vault| vault.deadline.min(self.deadline));
        if deadline == 0 || self.timeouts.0 == 0 || self.timeouts.1 == 0 {
            return Err("a deadline or a timeout is 0".to_owned());
        }
        if times.any(|time| time > LONGEST_MS) {
            return Err(format!("a time is longer than a day ({LONGEST_MS} ms)"));
        }
        if self.load > MAX_LOAD {
            return Err(format!("more than {MAX_LOAD} callers are there at once"));
        }
        if self.padding > MAX_PADDING {
            return Err(format!("events are more than {MAX_PADDING} bytes larger"));
        }
        if self.processes() > MAX_PROCESSES || self.writers > MAX_PROCESSES {
            return Err(format!(
                "there are more than {MAX_PROCESSES} processes, or writers in one"
            ));
        }
        let retention = vault.map_or(1.0, |vault| vault.retention);
        let amounts = self.faults.iter().map(|fault| fault.amount.unsigned_abs());
        if !(0.0..=10_000.0).contains(&retention) || amounts.max() > Some(LONGEST_MS) {
            return Err("a retention or a fault's amount is out of range".to_owned());
        }
        if let Some(fault) = self
            .faults
            .iter()
            .find(|fault| !self.topology.has(fault.kind))
        {
            let topology: &str = self.topology.into();
            return Err(format!(
                "this fault cannot strike where the way to Redis is {topology}: {fault}"
            ));
        }
        let is_placed = |fault: &&Fault| {
            fault.replica.is_some() == fault.kind.strikes_one()
                && fault
                    .replica
                    .is_none_or(|replica| replica < self.processes())
        };
        match self.faults.iter().find(|fault| !is_placed(fault)) {
            Some(fault) => Err(format!(
                "a fault strikes a replica that does not exist: {fault}"
            )),
            None => Ok(()),
        }
    }

    /// The lock policy in the store's own terms.
    pub(crate) fn lock_policy(&self) -> LockPolicy {
        let Some((ttl, wait, retry)) = self.lock else {
            return LockPolicy::None;
        };
        let mut times = LockTimes::default();
        times.ttl = Duration::from_millis(ttl);
        times.wait = Duration::from_millis(wait);
        times.retry = Duration::from_millis(retry);
        LockPolicy::Always(times)
    }

    /// When Sentinels are asked, where there are any.
    pub(crate) fn sentinel_times(&self) -> SentinelTimes {
        Topology::sentinel_times(self.timeouts.1, self.latency.1, self.stops_in_silence)
    }

    /// The durability in the store's own terms, whose text is the same.
    pub(crate) fn store_durability(&self) -> Durability {
        let level = self.durability.map(|asked| asked.level.to_string());
        level
            .and_then(|level| level.parse().ok())
            .unwrap_or_default()
    }

    /// The timeouts in the store's own terms.
    pub(crate) fn store_timeouts(&self) -> Timeouts {
        let mut timeouts = Timeouts::default();
        timeouts.connect = Duration::from_millis(self.timeouts.0);
        timeouts.reply = Duration::from_millis(self.timeouts.1);
        if let Some(asked) = &self.durability {
            timeouts.durability = Duration::from_millis(asked.patience);
        }
        timeouts
    }
}
