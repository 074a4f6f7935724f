//! Carries out a plan: begins and ends its faults as simulated time passes.

use std::{collections::BTreeMap, time::Duration};

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use turmoil::Sim;

use super::{
    clock::generator,
    config::Config,
    net::REDIS_HOST,
    shared::{Shared, replica_name},
    weather::Weather,
};
use crate::fault::{Fault, FaultKind};
use redis_sim::{Redis, Reply};

/// How long a foreign lock lives that replicas respect, though they take none.
const FOREIGN_LOCK_MS: u64 = 500;

/// The one who makes trouble.
pub(crate) struct Nemesis {
    plan: Vec<Fault>,
    next: usize,
    active: Vec<Fault>,
    rng: ChaCha8Rng,
    latency: (u64, u64),
    /// How long a lock lives; `None` if nobody takes or respects one.
    lock: Option<u64>,
    lock_keys: Vec<String>,
    crashed: BTreeMap<usize, u64>,
}

impl Nemesis {
    pub(crate) fn new(config: &Config, lock_keys: Vec<String>) -> Self {
        Self {
            plan: config.plan.clone(),
            next: 0,
            active: Vec::new(),
            rng: generator(config.seed, "nemesis"),
            latency: config.latency,
            lock: match (config.lock, &config.vault) {
                (Some((ttl, ..)), _) => Some(ttl),
                (None, Some(_)) => Some(FOREIGN_LOCK_MS),
                (None, None) => None,
            },
            lock_keys,
            crashed: BTreeMap::new(),
        }
    }

    /// Whether nothing is active and nothing is to come.
    pub(crate) fn is_done(&self) -> bool {
        self.next == self.plan.len() && self.active.is_empty()
    }

    /// Begins and ends what is due at `now`.
    pub(crate) fn step(&mut self, sim: &mut Sim<'_>, shared: &Shared, now: u64) {
        while let Some(fault) = self.plan.get(self.next).copied().filter(|f| f.at <= now) {
            self.next += 1;
            self.begin(sim, shared, fault);
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
            self.end(sim, shared, fault);
        }
        if self.is_active(FaultKind::LockNeverGranted) {
            self.occupy_lock(shared, 1000);
        }
    }

    /// Ends everything, for good.
    pub(crate) fn heal(&mut self, sim: &mut Sim<'_>, shared: &Shared) {
        self.next = self.plan.len();
        for fault in std::mem::take(&mut self.active) {
            self.end(sim, shared, fault);
        }
    }

    fn is_active(&self, kind: FaultKind) -> bool {
        self.active.iter().any(|fault| fault.kind == kind)
    }

    fn begin(&mut self, sim: &mut Sim<'_>, shared: &Shared, fault: Fault) {
        let host = fault.replica.map(replica_name).unwrap_or_default();
        let host = host.as_str();
        let mut strikes = true;
        match fault.kind {
            FaultKind::LatencySpike => {
                let latency = Duration::from_millis(fault.amount.unsigned_abs());
                sim.set_link_latency(host, REDIS_HOST, latency);
            }
            FaultKind::Partition => sim.partition(host, REDIS_HOST),
            FaultKind::PartitionToRedis => sim.partition_oneway(host, REDIS_HOST),
            FaultKind::PartitionFromRedis => sim.partition_oneway(REDIS_HOST, host),
            FaultKind::HeldLink => sim.hold(host, REDIS_HOST),
            FaultKind::Crash => {
                let replica = fault.replica.unwrap_or_default();
                let count = self.crashed.entry(replica).or_default();
                *count += 1;
                if *count == 1 {
                    shared.power(replica).cut();
                    sim.crash(host);
                    shared.power(replica).restore();
                    shared.crashed(replica);
                }
            }
            FaultKind::Pause => shared.gate(fault.replica).pause(),
            FaultKind::ClockJump => shared.skew(fault.replica, fault.amount * 1000),
            FaultKind::LockDeleted => {
                strikes = self.at_locks(shared, |key| vec![b"DEL".to_vec(), key]);
            }
            FaultKind::LockStolen => {
                let (token, ttl) = (self.token(), self.lock.unwrap_or(1).to_string());
                let words = [token.as_bytes(), b"XX", b"PX", ttl.as_bytes()];
                strikes = self.at_locks(shared, |key| {
                    let set = [b"SET".to_vec(), key];
                    set.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
                });
            }
            FaultKind::LockLapsed => {
                strikes =
                    self.at_locks(shared, |key| vec![b"PEXPIRE".to_vec(), key, b"1".to_vec()]);
            }
            FaultKind::LockHolderDead => {
                strikes = self.lock.is_some();
                self.occupy_lock(shared, self.lock.unwrap_or(1));
            }
            FaultKind::LockNeverGranted => strikes = self.lock.is_some(),
            FaultKind::ScriptFlush => {
                shared.run(&[b"SCRIPT", b"FLUSH"]);
            }
            FaultKind::RedisRestart => {
                shared.with_redis(Redis::restart);
                shared.weather(Weather::cut_all);
            }
            // Whoever is in stays in, so everybody has to come back.
            FaultKind::MaxClients => {
                shared.weather(Weather::cut_all);
                strikes = false;
            }
            // Counted when they strike a command.
            _ => strikes = false,
        }
        set_mode(shared, fault.kind, true);
        shared.weather(|weather| weather.begin(fault));
        if strikes {
            shared.struck(fault.kind);
        }
        shared.trace(|| format!("fault begins: {fault}"));
    }

    fn end(&mut self, sim: &mut Sim<'_>, shared: &Shared, fault: Fault) {
        let host = fault.replica.map(replica_name).unwrap_or_default();
        let host = host.as_str();
        match fault.kind {
            FaultKind::LatencySpike => {
                sim.set_link_latency(host, REDIS_HOST, Duration::from_millis(self.latency.0));
                sim.set_link_max_message_latency(
                    host,
                    REDIS_HOST,
                    Duration::from_millis(self.latency.1),
                );
            }
            FaultKind::Partition => sim.repair(host, REDIS_HOST),
            FaultKind::PartitionToRedis => sim.repair_oneway(host, REDIS_HOST),
            FaultKind::PartitionFromRedis => sim.repair_oneway(REDIS_HOST, host),
            FaultKind::HeldLink => sim.release(host, REDIS_HOST),
            FaultKind::Crash => {
                let replica = fault.replica.unwrap_or_default();
                let count = self.crashed.entry(replica).or_default();
                *count = count.saturating_sub(1);
                if *count == 0 {
                    sim.bounce(host);
                }
            }
            FaultKind::Pause => {
                let again = |other: &Fault| {
                    other.kind == FaultKind::Pause && other.replica == fault.replica
                };
                if !self.active.iter().any(again) {
                    shared.gate(fault.replica).resume();
                }
            }
            _ => {}
        }
        if !self.is_active(fault.kind) {
            set_mode(shared, fault.kind, false);
        }
        shared.weather(|weather| weather.end(fault));
        shared.trace(|| format!("fault ends: {fault}"));
    }

    fn occupy_lock(&mut self, shared: &Shared, ttl: u64) {
        let (token, ttl) = (self.token(), ttl.to_string());
        let words = [token.as_bytes(), b"PX", ttl.as_bytes()];
        self.at_locks(shared, |key| {
            let set = [b"SET".to_vec(), key];
            set.into_iter().chain(words.map(<[u8]>::to_vec)).collect()
        });
    }

    /// Does something to every lock's key; whether that changed anything.
    fn at_locks(&self, shared: &Shared, command: impl Fn(Vec<u8>) -> Vec<Vec<u8>>) -> bool {
        let mut strikes = false;
        for key in &self.lock_keys {
            let words = command(key.as_bytes().to_vec());
            let words: Vec<&[u8]> = words.iter().map(Vec::as_slice).collect();
            strikes |= took(shared.run(&words));
        }
        strikes
    }

    fn token(&mut self) -> String {
        format!("foreign-{:016x}", self.rng.next_u64())
    }
}

/// Whether a command of the nemesis changed anything: a lock that nobody
/// holds cannot be taken away, and a server in a bad mood refuses.
fn took(reply: Option<Reply>) -> bool {
    matches!(reply, Some(Reply::Integer(1) | Reply::Status(_)))
}

/// Switches a condition that the whole server is in.
fn set_mode(shared: &Shared, kind: FaultKind, on: bool) {
    shared.with_redis(|redis| {
        let modes = redis.modes();
        match kind {
            FaultKind::Busy => modes.busy = on,
            FaultKind::Loading => modes.loading = on,
            FaultKind::ReadOnly => modes.readonly = on,
            FaultKind::OutOfMemory => modes.oom = on,
            FaultKind::MisConf => modes.misconf = on,
            FaultKind::MaxClients => modes.max_clients = on.then_some(0),
            FaultKind::NoPerm if on => {
                modes.denied.insert("rpush".to_owned());
                modes.denied.insert("hset".to_owned());
            }
            FaultKind::NoPerm => modes.denied.clear(),
            _ => {}
        }
    });
}
