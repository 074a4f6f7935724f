//! Carries out a plan: begins and ends its faults as simulated time passes.

use std::{collections::BTreeMap, time::Duration};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use redis_sim::{Reply, Snapshot};
use turmoil::Sim;

use super::{
    data_loss::TwoPrimaries,
    failovers::OwnerGone,
    handle::WorldHandle,
    server_faults::{begin_server, end_eviction, restart_with, set_mode},
};
use crate::{
    plan::{
        Fault, FaultClass, FaultKind, Knobs, LinkFault, LockFault, LossFault, ProcessFault,
        ServerFault, Topology, Workload, generator,
    },
    record::{StoreKeys, replica_name},
    workload::{Host, Left},
};

/// TTL of a foreign lock where replicas wait for locks but take none.
const FOREIGN_LOCK_MS: u64 = 500;

/// Injects the faults of a plan.
pub(crate) struct Nemesis {
    plan: Vec<Fault>,
    pub(super) next: usize,
    pub(super) active: Vec<Fault>,
    pub(super) rng: ChaCha8Rng,
    pub(super) topology: Topology,
    pub(super) latency: (Duration, Duration),
    /// TTL of a lock; `None` if no replica takes or respects one.
    lock: Option<u64>,
    lock_keys: Vec<String>,
    /// How many crashes of each replica are active.
    crashed: BTreeMap<usize, u64>,
    /// Faults that lose power as soon as anchors are not synced, and have not yet.
    armed: Vec<Fault>,
    /// What a replica of Redis has when a fault leads to it, by the fault's place
    /// in the plan.
    pub(super) replicated: BTreeMap<usize, Snapshot>,
    pub(super) keys: StoreKeys,
    /// Pairs of primaries, until one of each is demoted.
    pub(super) split: Vec<TwoPrimaries>,
    /// The owner of a slot that was killed.
    pub(super) gone: Option<OwnerGone>,
    /// Since when Redis evicts, if it does.
    evicting: Option<Duration>,
}

impl Nemesis {
    pub(crate) fn new(knobs: &Knobs, lock_keys: Vec<String>) -> Self {
        let (least, most) = knobs.latency;
        Self {
            plan: knobs.faults.clone(),
            next: 0,
            active: Vec::new(),
            rng: generator(knobs.seed, "nemesis"),
            latency: (Duration::from_millis(least), Duration::from_millis(most)),
            lock: match (knobs.lock, &knobs.vault) {
                (Some((ttl, ..)), _) => Some(ttl),
                (None, Some(_)) => Some(FOREIGN_LOCK_MS),
                (None, None) => None,
            },
            lock_keys,
            crashed: BTreeMap::new(),
            armed: Vec::new(),
            replicated: BTreeMap::new(),
            keys: StoreKeys::new(knobs),
            split: Vec::new(),
            gone: None,
            topology: knobs.topology,
            evicting: None,
        }
    }

    /// Whether nothing is active and nothing is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.next == self.plan.len() && self.active.is_empty()
    }

    /// Begins and ends what is due at `now`.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>, world: &WorldHandle, now: u64) {
        self.replicate(world, now);
        self.hold(world);
        while let Some(fault) = self.plan.get(self.next).copied().filter(|f| f.at <= now) {
            self.next += 1;
            self.begin(sim, world, fault);
            if !fault.kind.is_instant() {
                self.active.push(fault);
            }
        }
        let (over, active) = self
            .active
            .drain(..)
            .partition(|fault| fault.at + fault.lasts <= now);
        self.active = active;
        for fault in over {
            self.end(sim, world, fault);
        }
        self.step_failovers(world, now);
        self.hold(world);
        self.step_anchors(sim, world);
        if self.is_active(LockFault::LockNeverGranted.into()) {
            self.occupy_lock(world, 1000);
        }
        for fault in &self.active {
            if fault.kind == ProcessFault::ClockDrift.into() {
                world.skew(fault.replica, fault.amount * 1000);
            }
        }
    }

    /// Loses power where anchors are not synced, and counts what has met a fault of the
    /// medium.
    fn step_anchors(&mut self, sim: &mut Sim<'_>, world: &WorldHandle) {
        let is_due = |fault: &Fault| {
            let media = world.anchor_media(fault.replica.unwrap_or_default());
            media.has_unsynced()
        };
        let (due, armed) = self.armed.drain(..).partition(is_due);
        self.armed = armed;
        let due: Vec<Fault> = due;
        for fault in due {
            let left = match fault.kind == ProcessFault::AnchorTorn.into() {
                true => Left::TornLine,
                false => Left::Nothing,
            };
            self.crash(sim, world, fault.replica.unwrap_or_default(), left);
            world.struck(fault.kind);
        }
        for kind in world.take_met_by_anchors() {
            world.struck(kind);
        }
    }

    /// Loses the keys of the chain, or those of the vault, besides what is planned.
    pub(super) fn lose_also(&mut self, world: &WorldHandle, now: u64, half: Workload) {
        let kind = LossFault::KeysEvicted;
        let fault = Fault {
            at: now,
            lasts: 0,
            kind: kind.into(),
            replica: None,
            amount: self.keys.amount_of(half),
            once: false,
        };
        world.trace(|| format!("fault begins: {fault}"));
        if self.begin_loss(world, kind, fault, None) {
            world.struck(fault.kind);
        }
    }

    /// Ends everything, for good.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>, world: &WorldHandle) {
        self.next = self.plan.len();
        for fault in std::mem::take(&mut self.active) {
            self.end(sim, world, fault);
        }
        self.replicated.clear();
        self.hold(world);
        self.set_server_clock(world, 0);
    }

    /// Sets how far the server's clock is off, in milliseconds. The locks would
    /// last as much longer, and replicas that follow the reference's protocol
    /// would wait for them.
    fn set_server_clock(&self, world: &WorldHandle, skew: i64) {
        if world.set_server_skew(skew) {
            self.at_locks(world, |key| vec![b"DEL".to_vec(), key]);
        }
    }

    /// Keeps the primary's data for the replicas that have it at a later fault.
    fn replicate(&mut self, world: &WorldHandle, now: u64) {
        let plan = self.plan.iter().enumerate().skip(self.next);
        for (index, fault) in plan {
            let since = fault.at.saturating_sub(fault.amount.unsigned_abs());
            let kind = fault.kind;
            let keeps =
                kind == LinkFault::LaggingReplica.into() || kind.class() == FaultClass::DataLoss;
            if keeps && since <= now {
                let data = || world.data();
                self.replicated.entry(index).or_insert_with(data);
            }
        }
    }

    /// From the moment on whose data a fault will leave, the disk or the replica that has
    /// it gets no more.
    fn hold(&self, world: &WorldHandle) {
        let kept = |kinds: &[LossFault]| {
            let mut places = self
                .replicated
                .keys()
                .filter_map(|place| self.plan.get(*place));
            places.any(|fault| kinds.iter().any(|kind| fault.kind == (*kind).into()))
        };
        let holds_disk = kept(&[LossFault::UnsyncedTailLost]);
        // What the disk of one has of the data of both, it had before the split.
        for two in &self.split {
            two.hold_disk(holds_disk);
        }
        world.with_redis(|redis| {
            redis.hold_disk(holds_disk);
            let promotes = [
                LossFault::LaggingReplicaPromoted,
                LossFault::SentinelFailover,
                LossFault::ClusterFailover,
            ];
            redis.hold_replica(0, kept(&promotes));
        });
    }

    fn is_active(&self, kind: FaultKind) -> bool {
        self.active.iter().any(|fault| fault.kind == kind)
    }

    fn begin(&mut self, sim: &mut Sim<'_>, world: &WorldHandle, fault: Fault) {
        world.trace(|| format!("fault begins: {fault}"));
        let host = fault.replica.map(replica_name).unwrap_or_default();
        let strikes = match fault.kind {
            FaultKind::LinkFault(kind) => {
                self.begin_link(sim, world, &host, kind, fault);
                // Counted when it refuses a command.
                kind != LinkFault::NodeReplaced
            }
            // Counted when they strike a command.
            FaultKind::CommandFault(_) => false,
            FaultKind::ProcessFault(kind) => {
                self.begin_process(sim, world, kind, fault);
                // Counted when they meet an anchor.
                !fault.kind.strikes_anchors()
            }
            FaultKind::LockFault(kind) => self.change_locks(world, kind),
            FaultKind::ServerFault(ServerFault::ServerClockJump) => {
                self.set_server_clock(world, world.server_skew() + fault.amount * 1000);
                true
            }
            FaultKind::ServerFault(ServerFault::SlotMigration) => self.begin_migration(world),
            FaultKind::ServerFault(ServerFault::SentinelsKilled) => {
                world.kill_sentinels(fault.amount);
                true
            }
            FaultKind::ServerFault(kind) => begin_server(world, kind, fault),
            FaultKind::LossFault(kind) => self.begin_loss(world, kind, fault, Some(self.next - 1)),
        };
        world.command_faults(|faults| faults.begin(fault));
        if strikes {
            world.struck(fault.kind);
        }
    }

    fn end(&mut self, sim: &mut Sim<'_>, world: &WorldHandle, fault: Fault) {
        let host = fault.replica.map(replica_name).unwrap_or_default();
        match fault.kind {
            FaultKind::LinkFault(kind) => {
                let now = u64::try_from(world.now().as_millis()).unwrap_or(u64::MAX);
                self.end_link(sim, world, &host, kind, fault, now);
            }
            FaultKind::ProcessFault(kind) => self.end_process(sim, world, kind, fault),
            FaultKind::ServerFault(ServerFault::SlotMigration)
            | FaultKind::LossFault(LossFault::ClusterFailover) => self.finish_cluster(world),
            FaultKind::ServerFault(ServerFault::SentinelsKilled) => {
                world.start_sentinels(fault.amount);
            }
            FaultKind::ServerFault(kind) if !self.is_active(fault.kind) => {
                set_mode(world, kind, None);
            }
            FaultKind::LossFault(LossFault::EvictingRestart) => {
                if let Some(since) = self.evicting.take() {
                    self.keys.evict(world, fault, since);
                    self.replicated.clear();
                    end_eviction(world);
                }
            }
            FaultKind::LossFault(_) => {
                if let Some(place) = self.split.iter().position(|two| two.is_of(fault)) {
                    self.keys.unite(world, &self.split.remove(place));
                    self.hold(world);
                }
            }
            FaultKind::ServerFault(_) | FaultKind::CommandFault(_) | FaultKind::LockFault(_) => {}
        }
        world.command_faults(|faults| faults.end(fault));
        world.trace(|| format!("fault ends: {fault}"));
    }

    fn begin_process(
        &mut self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        kind: ProcessFault,
        fault: Fault,
    ) {
        let media = world.anchor_media(fault.replica.unwrap_or_default());
        let amount = fault.amount.unsigned_abs();
        match kind {
            ProcessFault::Crash => {
                self.crash(sim, world, fault.replica.unwrap_or_default(), Left::Any);
            }
            ProcessFault::AnchorTorn | ProcessFault::AnchorUnsynced => self.armed.push(fault),
            ProcessFault::AnchorMediumSlow => media.delay(amount),
            ProcessFault::AnchorMediumFull => media.fill(amount),
            ProcessFault::Pause => {
                world.disturb_all(fault.replica.unwrap_or_default(), true);
                world.gate(fault.replica).pause();
            }
            ProcessFault::ClockJump => world.skew(fault.replica, fault.amount * 1000),
            // At every step.
            ProcessFault::ClockDrift => {}
            ProcessFault::KeyRotation => world.rotate_keys(self.next),
            ProcessFault::KeyStorageDown => world.key_faults(fault.replica).fail(),
            ProcessFault::KeyStorageSlow => world.key_faults(fault.replica).delay(amount),
        }
    }

    fn end_process(
        &mut self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        kind: ProcessFault,
        fault: Fault,
    ) {
        let media = world.anchor_media(fault.replica.unwrap_or_default());
        match kind {
            ProcessFault::Crash => self.bounce(sim, world, fault.replica.unwrap_or_default()),
            ProcessFault::AnchorTorn | ProcessFault::AnchorUnsynced => {
                match self.armed.iter().position(|armed| *armed == fault) {
                    Some(place) => drop(self.armed.remove(place)),
                    None => self.bounce(sim, world, fault.replica.unwrap_or_default()),
                }
            }
            ProcessFault::AnchorMediumSlow => media.delay(0),
            ProcessFault::AnchorMediumFull => media.empty(),
            ProcessFault::Pause => {
                world.disturb_all(fault.replica.unwrap_or_default(), false);
                let again =
                    |other: &Fault| other.kind == fault.kind && other.replica == fault.replica;
                if !self.active.iter().any(again) {
                    world.gate(fault.replica).resume();
                }
            }
            ProcessFault::KeyStorageDown => world.key_faults(fault.replica).recover(),
            ProcessFault::KeyStorageSlow => world.key_faults(fault.replica).delay(0),
            ProcessFault::ClockJump | ProcessFault::ClockDrift | ProcessFault::KeyRotation => {}
        }
    }

    /// A process loses power, unless it has none already. `left`: of its anchors.
    pub(super) fn crash(
        &mut self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        replica: usize,
        left: Left,
    ) {
        let count = self.crashed.entry(replica).or_default();
        *count += 1;
        if *count == 1 {
            world.disturb_all(replica, true);
            world.power(replica).cut();
            sim.crash(replica_name(replica));
            world.power(replica).restore();
            world.anchor_media(replica).crash(left);
            world.crashed(replica);
        }
    }

    /// A crash ends; the process starts when the last has.
    pub(super) fn bounce(&mut self, sim: &mut Sim<'_>, world: &WorldHandle, replica: usize) {
        let count = self.crashed.entry(replica).or_default();
        *count = count.saturating_sub(1);
        if *count == 0 {
            world.disturb_all(replica, false);
            sim.bounce(replica_name(replica));
        }
    }

    /// Begins a fault that loses data; returns whether it has struck. What was kept of
    /// before is not put in place later: a replica has it no more.
    /// `place`: its own in the plan.
    fn begin_loss(
        &mut self,
        world: &WorldHandle,
        kind: LossFault,
        fault: Fault,
        place: Option<usize>,
    ) -> bool {
        // What the others lose now, the demoted primary would still have.
        for two in std::mem::take(&mut self.split) {
            self.keys.unite(world, &two);
            self.hold(world);
        }
        self.finish_cluster(world);
        if kind == LossFault::SplitBrain {
            let two = self.keys.split(world, fault);
            self.split.push(two);
            self.hold(world);
            return true;
        }
        if kind == LossFault::EvictingRestart {
            restart_with(world, "allkeys-lru");
            self.evicting = Some(world.now());
            return true;
        }
        let kept = place.and_then(|place| self.replicated.remove(&place));
        let older = kept.unwrap_or_else(|| world.with_redis(|redis| redis.snapshot()));
        match kind {
            _ if !self.topology.has(fault.kind) => return false,
            LossFault::SentinelFailover => {
                return self.begin_sentinel_failover(world, fault, &older);
            }
            LossFault::ClusterFailover => {
                return self.begin_cluster_failover(world, fault, older);
            }
            _ => {}
        }
        let strikes = self.keys.strike(world, kind, fault, &older);
        if strikes {
            self.replicated.clear();
        }
        strikes
    }

    /// Applies a fault to every lock's key; returns whether that changed
    /// anything.
    fn change_locks(&mut self, world: &WorldHandle, kind: LockFault) -> bool {
        let ttl = self.lock.unwrap_or(1);
        match kind {
            LockFault::LockDeleted => self.at_locks(world, |key| vec![b"DEL".to_vec(), key]),
            LockFault::LockStolen => {
                let (token, ttl) = (self.token(), ttl.to_string());
                let words = [token.as_bytes(), b"XX", b"PX", ttl.as_bytes()];
                self.at_locks(world, |key| {
                    let set = [b"SET".to_vec(), key];
                    set.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
                })
            }
            LockFault::LockLapsed => {
                self.at_locks(world, |key| vec![b"PEXPIRE".to_vec(), key, b"1".to_vec()])
            }
            LockFault::LockHolderDead => {
                self.occupy_lock(world, ttl);
                self.lock.is_some()
            }
            LockFault::LockNeverGranted => self.lock.is_some(),
        }
    }

    fn occupy_lock(&mut self, world: &WorldHandle, ttl: u64) {
        let (token, ttl) = (self.token(), ttl.to_string());
        let words = [token.as_bytes(), b"PX", ttl.as_bytes()];
        self.at_locks(world, |key| {
            let set = [b"SET".to_vec(), key];
            set.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
        });
    }

    /// Runs a command on every lock's key; returns whether that changed
    /// anything, which it does not if the lock is free.
    fn at_locks(&self, world: &WorldHandle, command: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) -> bool {
        let mut strikes = false;
        for key in &self.lock_keys {
            let words = command(key.as_bytes().to_vec());
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            let reply = world.run_at(&world.server_with(key), &words);
            strikes |= matches!(reply, Some(Reply::Integer(1) | Reply::Status(_)));
        }
        world.locks_changed_by_fault();
        strikes
    }

    fn token(&mut self) -> String {
        format!("foreign-{:016x}", self.rng.next_u64())
    }
}
