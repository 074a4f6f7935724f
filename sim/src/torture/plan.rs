//! What goes wrong under torture, and when: drawn from a seed, though what
//! comes of it is not.
//!
//! It must not know how a fault is done.

use std::{
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use rand::{Rng, RngExt};

use crate::{
    fault::FaultKind,
    world::{Config, generator},
};

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// One that worlds have, too.
    World(FaultKind),
    /// redis-server is killed (SIGKILL), and started again on what it has
    /// written.
    RedisKilled,
    /// redis-server is stopped where it stands (SIGSTOP), for longer than the
    /// lock lives and than anybody waits.
    RedisStopped,
    /// CLIENT KILL, for all connections.
    ClientsKilled,
}

impl Kind {
    /// What strikes the server.
    pub(super) const SERVER: [Self; 13] = [
        Self::RedisKilled,
        Self::RedisStopped,
        Self::ClientsKilled,
        Self::World(FaultKind::RedisRestart),
        Self::World(FaultKind::ScriptFlush),
        Self::World(FaultKind::OutOfMemory),
        Self::World(FaultKind::ReadOnly),
        Self::World(FaultKind::MaxClients),
        Self::World(FaultKind::SlowScript),
        Self::World(FaultKind::LockDeleted),
        Self::World(FaultKind::LockStolen),
        Self::World(FaultKind::LockLapsed),
        Self::World(FaultKind::LockHolderDead),
    ];

    /// What strikes one replica, or its way to the server.
    pub(super) const REPLICA: [Self; 9] = [
        Self::World(FaultKind::LatencySpike),
        Self::World(FaultKind::HeldLink),
        Self::World(FaultKind::ResetBeforeExecution),
        Self::World(FaultKind::ResetAfterExecution),
        Self::World(FaultKind::ResetMidReply),
        Self::World(FaultKind::LateCommand),
        Self::World(FaultKind::LateReply),
        Self::World(FaultKind::Crash),
        Self::World(FaultKind::Pause),
    ];

    /// The name in reports.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::World(kind) => kind.name(),
            Self::RedisKilled => "redis_killed",
            Self::RedisStopped => "redis_stopped",
            Self::ClientsKilled => "clients_killed",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// How often each kind struck.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<BTreeMap<&'static str, u64>>>);

impl Tally {
    pub(super) fn struck(&self, kind: Kind) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry(kind.name()).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<&'static str, u64> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// One fault of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Trouble {
    /// When it begins.
    pub(super) at: Duration,
    /// How long it lasts.
    pub(super) lasts: Duration,
    /// What it is.
    pub(super) kind: Kind,
    /// The replica that it strikes, if it strikes one.
    pub(super) replica: usize,
    /// How long delays are.
    pub(super) amount: Duration,
    /// Of a hundred commands, how many are struck.
    pub(super) percent: u32,
}

/// What goes wrong: with the server one thing after the other, with replicas
/// several at a time.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: Vec<Trouble>,
    pub(super) replicas: Vec<Trouble>,
}

impl Plan {
    /// Draws a plan for this long.
    pub(super) fn draw(config: &Config, length: Duration) -> Self {
        let rng = &mut generator(config.seed, "torture of the server");
        let mut server = Vec::new();
        let mut at = millis(rng.random_range(20..100));
        let mut deck = Deck::new(&Kind::SERVER);
        while at < length {
            let kind = deck.next(rng);
            let trouble = draw_one(rng, kind, config, at);
            at += trouble.lasts + millis(rng.random_range(30..180));
            server.push(trouble);
        }
        let rng = &mut generator(config.seed, "torture of replicas");
        let mut replicas = Vec::new();
        let mut at = millis(rng.random_range(0..50));
        let mut deck = Deck::new(&Kind::REPLICA);
        while at < length {
            let kind = deck.next(rng);
            replicas.push(draw_one(rng, kind, config, at));
            at += millis(rng.random_range(20..200));
        }
        Self { server, replicas }
    }
}

/// Kinds in an order that is drawn anew once all have had their turn, so that
/// a short time meets all of them.
struct Deck {
    kinds: &'static [Kind],
    left: Vec<Kind>,
}

impl Deck {
    fn new(kinds: &'static [Kind]) -> Self {
        let left = Vec::new();
        Self { kinds, left }
    }

    fn next(&mut self, rng: &mut impl Rng) -> Kind {
        if self.left.is_empty() {
            self.left = self.kinds.to_vec();
        }
        self.left.swap_remove(rng.random_range(0..self.left.len()))
    }
}

fn draw_one(rng: &mut impl Rng, kind: Kind, config: &Config, at: Duration) -> Trouble {
    let timeout = config.timeouts.1.max(10);
    let lock_ttl = config.lock.map_or(0, |(ttl, ..)| ttl);
    let lasts = match kind {
        Kind::RedisStopped => lock_ttl.max(timeout) + rng.random_range(10..=timeout),
        Kind::RedisKilled => rng.random_range(5..=timeout / 2 + 5),
        Kind::World(kind) if kind.is_instant() => 0,
        Kind::World(FaultKind::Pause) => lock_ttl + rng.random_range(10..=timeout),
        Kind::World(FaultKind::Crash) => rng.random_range(5..=timeout / 2 + 5),
        Kind::World(FaultKind::RedisRestart) => rng.random_range(5..=timeout / 2 + 5),
        Kind::World(FaultKind::OutOfMemory | FaultKind::ReadOnly | FaultKind::MaxClients) => {
            rng.random_range(20..=timeout)
        }
        Kind::World(FaultKind::SlowScript) => rng.random_range(20..=timeout + 50),
        Kind::ClientsKilled => 0,
        Kind::World(_) => rng.random_range(50..=2 * timeout),
    };
    let amount = match kind {
        Kind::World(FaultKind::LatencySpike) => rng.random_range(5..=timeout / 3 + 5),
        // Either side of the reply time-out, and well past it.
        _ => rng.random_range(timeout / 2..=3 * timeout),
    };
    Trouble {
        at,
        lasts: millis(lasts),
        kind,
        replica: rng.random_range(0..config.processes().max(1)),
        amount: millis(amount),
        percent: [20, 50, 100][rng.random_range(0..3)],
    }
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}
