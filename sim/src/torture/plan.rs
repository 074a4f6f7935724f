//! The faults of a round, and when they begin, drawn from a seed.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use rand::{Rng, RngExt};

use crate::plan::{Fault, FaultClass, FaultKind, Knobs, LossFault, Needs, Scale, generator};

/// The least time between two faults of the server, in milliseconds.
const PAUSE_MS: u64 = 30;

/// Whether torture can carry out this fault.
pub fn is_supported(kind: FaultKind) -> bool {
    match kind.needs() {
        Needs::Link
        | Needs::Commands
        | Needs::Process
        | Needs::LockKey
        | Needs::ReplicaServer
        | Needs::ServerCommands
        | Needs::ServerProcess
        | Needs::ServerData => true,
        // A proxy cannot lose what TCP has acknowledged, all replicas share one
        // wall clock and keys in memory and have no anchors, and redis-server has no command
        // for these states. That two servers take writes is not built, nor are Sentinels and clusters.
        Needs::LossyLink
        | Needs::WallClock
        | Needs::KeyStorage
        | Needs::AnchorMedium
        | Needs::ServerModes
        | Needs::TwoPrimaries
        | Needs::Topology => false,
    }
}

/// How often each kind struck.
#[derive(Clone, Default)]
pub(super) struct Tally(Arc<Mutex<BTreeMap<FaultKind, u64>>>);

impl Tally {
    pub(super) fn struck(&self, kind: FaultKind) {
        *self.0.lock().entry(kind).or_default() += 1;
    }

    pub(super) fn counts(&self) -> BTreeMap<FaultKind, u64> {
        self.0.lock().clone()
    }
}

/// The faults: the server's one after the other, so those that need its
/// replica, the other ones several at a time. As in worlds, Redis loses data at most twice,
/// and only in one round of four if there are other faults.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) server: Vec<Fault>,
    pub(super) replicas: Vec<Fault>,
    /// Those that need a replica of the server.
    pub(super) lagging: Vec<Fault>,
}

impl Plan {
    /// The faults that lose data.
    pub(super) fn losses(&self) -> impl Iterator<Item = (LossFault, &Fault)> {
        self.server.iter().filter_map(|fault| match fault.kind {
            FaultKind::LossFault(kind) => Some((kind, fault)),
            _ => None,
        })
    }

    /// Draws a plan of these kinds for this long.
    pub(super) fn draw(knobs: &Knobs, kinds: &[FaultKind], length: Duration) -> Self {
        let length = u64::try_from(length.as_millis()).unwrap_or(u64::MAX);
        let scale = Scale {
            chaos: length,
            reply_timeout: knobs.timeouts.1,
            deadline: knobs.timeouts.1,
            lock_ttl: knobs.lock.map_or(0, |(ttl, ..)| ttl),
        };
        // Half as long, since they do not overlap: a round has all kinds.
        let server_scale = Scale {
            reply_timeout: scale.reply_timeout / 2,
            ..scale
        };
        let draw = |rng: &mut _, kind, at, scale| Fault {
            at,
            ..Fault::draw(rng, kind, knobs.processes(), scale)
        };
        let rng = &mut generator(knobs.seed, "torture of the server");
        let is_loss = |kind: FaultKind| kind.class() == FaultClass::DataLoss;
        let mut deck = Deck::new(kinds, |kind| !kind.strikes_one() && !is_loss(kind));
        let mut server = Vec::new();
        let mut at = rng.random_range(20..100);
        while at < length
            && let Some(kind) = deck.next(rng)
        {
            let fault = draw(rng, kind, at, server_scale);
            at += fault.lasts + rng.random_range(30..180);
            server.push(fault);
        }
        let supported: Vec<_> = kinds.iter().copied().filter(|k| is_supported(*k)).collect();
        let rng = &mut generator(knobs.seed, "torture by data loss");
        let losses = Fault::draw_losses(rng, &supported, knobs.processes(), scale);
        for loss in losses {
            insert(&mut server, loss);
        }
        let rng = &mut generator(knobs.seed, "torture of replicas");
        let needs_replica = |kind: FaultKind| kind.needs() == Needs::ReplicaServer;
        let mut deck = Deck::new(kinds, |kind| kind.strikes_one() && !needs_replica(kind));
        let mut replicas = Vec::new();
        let mut at = rng.random_range(0..50);
        while at < length
            && let Some(kind) = deck.next(rng)
        {
            replicas.push(draw(rng, kind, at, scale));
            at += rng.random_range(20..200);
        }
        let rng = &mut generator(knobs.seed, "torture by a replica of the server");
        let mut deck = Deck::new(kinds, needs_replica);
        let mut lagging = Vec::new();
        let mut at = rng.random_range(20..100);
        while at < length
            && let Some(kind) = deck.next(rng)
        {
            let mut fault = draw(rng, kind, at, scale);
            // The server's replica is cut off so long before.
            fault.at += fault.amount.unsigned_abs();
            at = fault.at + fault.lasts + rng.random_range(100..800);
            lagging.push(fault);
        }
        Self {
            server,
            replicas,
            lagging,
        }
    }
}

/// Inserts a fault of the server; those after it are later by as much as it takes.
fn insert(server: &mut Vec<Fault>, fault: Fault) {
    let place = server.partition_point(|other| other.at <= fault.at);
    let free = server[..place]
        .last()
        .map_or(0, |before| before.at + before.lasts + PAUSE_MS);
    let at = fault.at.max(free);
    for later in &mut server[place..] {
        later.at += at - fault.at + fault.lasts + PAUSE_MS;
    }
    server.insert(place, Fault { at, ..fault });
}

/// The supported ones of the kinds in random order, redrawn once all are used, so that a
/// short round has all kinds.
struct Deck {
    kinds: Vec<FaultKind>,
    left: Vec<FaultKind>,
}

impl Deck {
    fn new(kinds: &[FaultKind], is_in: impl Fn(FaultKind) -> bool) -> Self {
        let is_in = |kind: &FaultKind| kinds.contains(kind) && is_supported(*kind) && is_in(*kind);
        let kinds = FaultKind::all().filter(is_in);
        Self {
            kinds: kinds.collect(),
            left: Vec::new(),
        }
    }

    /// `None` if there are none.
    fn next(&mut self, rng: &mut impl Rng) -> Option<FaultKind> {
        if self.left.is_empty() {
            self.left.clone_from(&self.kinds);
        }
        let next = (!self.left.is_empty()).then(|| rng.random_range(0..self.left.len()))?;
        Some(self.left.swap_remove(next))
    }
}
