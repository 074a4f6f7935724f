//! What the parts of one world share: the server, the weather, the history,
//! and what the nemesis can do to each process.

use std::{
    ops::Deref,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
    time::Duration,
};

use super::{
    Watch,
    clock::{EPOCH, PauseGate, SeededEntropy, SimClock, generator, sleep},
    host::Host,
    ledger::{Ledger, Source},
    log::Log,
    net::{Power, SimConnect},
    vault::Safe,
    weather::Weather,
};
use crate::{fault::FaultKind, schedule::Schedule};
use redis_sim::{Command, Redis, Reply, server};

/// The host name of a replica.
pub(crate) fn replica_name(replica: usize) -> String {
    format!("r{replica}")
}

/// A handle on the world, for every task in it.
#[derive(Clone)]
pub(crate) struct Shared(Arc<Inner>);

struct Inner {
    seed: u64,
    redis: server::Shared<Redis>,
    weather: Mutex<Weather>,
    safe: Safe,
    ledger: Ledger,
    replicas: Vec<Replica>,
}

#[derive(Default)]
struct Replica {
    gate: PauseGate,
    power: Power,
    skew: Arc<AtomicI64>,
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
            seed: config.seed,
            redis,
            weather: Mutex::new(Weather::new(generator(config.seed, "weather"))),
            safe: Safe::default(),
            ledger: Ledger::new(log, schedule.operations.iter().cloned().map(Source::Listed)),
            replicas: schedule
                .operations
                .iter()
                .map(|_| Replica::default())
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

    pub(crate) fn struck(&self, kind: FaultKind) {
        self.weather(|weather| weather.struck(kind));
    }

    /// Sets the time that everything from here on is recorded at.
    pub(crate) fn set_now(&self, now: Duration) {
        self.0.ledger.log().now = now;
        self.weather(|weather| weather.set_now(now));
        let millis = u64::try_from((EPOCH + now).as_millis()).unwrap_or(u64::MAX);
        self.with_redis(|redis| redis.set_now(millis));
    }

    pub(crate) fn gate(&self, replica: Option<usize>) -> PauseGate {
        replica
            .and_then(|replica| self.0.replicas.get(replica))
            .map(|replica| replica.gate.clone())
            .unwrap_or_default()
    }

    pub(crate) fn power(&self, replica: usize) -> &Power {
        &self.0.replicas[replica].power
    }

    pub(crate) fn skew(&self, replica: Option<usize>, millis: i64) {
        if let Some(replica) = replica.and_then(|replica| self.0.replicas.get(replica)) {
            replica.skew.fetch_add(millis, Ordering::Relaxed);
        }
    }
}

/// Whatever is written down in a world is written down by way of it.
impl Deref for Shared {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.0.ledger
    }
}

impl Host for Shared {
    type Clock = SimClock;
    type Entropy = SeededEntropy;
    type Connect = SimConnect;

    fn ledger(&self) -> &Ledger {
        &self.0.ledger
    }

    fn safe(&self) -> &Safe {
        &self.0.safe
    }

    fn clock(&self, process: usize) -> SimClock {
        let process = &self.0.replicas[process];
        SimClock::new(process.gate.clone(), process.skew.clone())
    }

    fn entropy(&self, process: &str) -> SeededEntropy {
        SeededEntropy::new(generator(self.0.seed, &format!("entropy {process}")))
    }

    fn connect(&self, process: usize) -> SimConnect {
        let process = &self.0.replicas[process];
        SimConnect {
            gate: process.gate.clone(),
            power: process.power.clone(),
        }
    }

    async fn sleep(&self, duration: Duration) {
        sleep(duration).await;
    }
}
