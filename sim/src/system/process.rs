//! What a process of a system sees of its world.

use std::{
    io,
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use parking_lot::Mutex;
use redis::RedisResult;

use super::{Random, schedule::server_name, world::Shared};
use crate::{
    plan::generator,
    record::replica_name,
    world::{self, EPOCH, REDIS_PORT, SimConnection, SimNodes, elapsed},
};

/// One process, from one start to its end. All clones are of the same process.
#[derive(Clone)]
pub struct Process {
    shared: Arc<Shared>,
    number: usize,
    life: u64,
    random: Arc<Mutex<Random>>,
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Process").field(&self.name()).finish()
    }
}

impl Process {
    pub(super) fn new(shared: Arc<Shared>, number: usize, life: u64) -> Self {
        let purpose = format!("random of {}", name(number, life));
        let random = Random::new(generator(shared.seed, &purpose));
        Self {
            shared,
            number,
            life,
            random: Arc::new(Mutex::new(random)),
        }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Its number, from 0; it stays the same when the process starts again.
    #[must_use]
    pub fn number(&self) -> usize {
        self.number
    }

    /// How often it has started, from 1.
    #[must_use]
    pub fn life(&self) -> u64 {
        self.life
    }

    /// Its name: `r0`, and `r0.2` once it has started again.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.number, self.life)
    }

    /// Connects to a server, from 0.
    ///
    /// # Errors
    ///
    /// No answer within [`Setup::reply_timeout`](super::Setup::reply_timeout), as through a
    /// partition, or there is no such server. A reply that does not come within that time is an
    /// error, too; its command may run all the same, and later.
    #[expect(
        clippy::disallowed_methods,
        reason = "tokio's timers run on simulated time here"
    )]
    pub async fn connect(&self, server: usize) -> RedisResult<SimConnection> {
        if server >= self.shared.servers.len() {
            let reason = format!("there is no {}", server_name(server));
            return Err(io::Error::new(io::ErrorKind::NotFound, reason).into());
        }
        let control = &self.shared.processes[self.number];
        let nodes = SimNodes {
            gate: control.gate.clone(),
            power: control.power.clone(),
            connections: Default::default(),
            reply_timeout: Some(self.shared.reply_timeout),
            client: None,
        };
        let name = server_name(server);
        let dialed = nodes.dial(&name, REDIS_PORT);
        match tokio::time::timeout(self.shared.reply_timeout, dialed).await {
            Ok(connected) => connected,
            Err(_) => Err(io::Error::from(io::ErrorKind::TimedOut).into()),
        }
    }

    /// The time since the run began, by a clock that never jumps.
    #[must_use]
    pub fn now(&self) -> Duration {
        elapsed()
    }

    /// The wall clock, since the Unix epoch; faults make it jump and drift.
    #[must_use]
    pub fn wall(&self) -> Duration {
        let skew = self.shared.processes[self.number]
            .skew
            .load(Ordering::Relaxed);
        let distance = Duration::from_millis(skew.unsigned_abs());
        match skew < 0 {
            true => (EPOCH + elapsed()).saturating_sub(distance),
            false => EPOCH + elapsed() + distance,
        }
    }

    /// Waits.
    pub async fn sleep(&self, duration: Duration) {
        world::sleep(duration).await;
    }

    /// A random number, which follows from the seed.
    #[must_use]
    pub fn random(&self) -> u64 {
        self.random.lock().number()
    }

    /// Says that a situation was met, as `waited_for_the_lock`: a search counts how often, and its
    /// author sees what was never tested.
    pub fn mark(&self, situation: &str) {
        let mut situations = self.shared.situations.lock();
        *situations.entry(situation.to_owned()).or_default() += 1;
    }

    /// Adds a line to the trace.
    pub fn trace(&self, line: &str) {
        self.shared.trace(&format!("{}: {line}", self.name()));
    }
}

/// The name of a process in one of its lives.
pub(super) fn name(number: usize, life: u64) -> String {
    let name = replica_name(number);
    match life {
        1 => name,
        life => format!("{name}.{life}"),
    }
}
