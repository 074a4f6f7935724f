//! Draws faults: which, when, for how long and how strong.

use rand::{Rng, RngExt};

use super::{
    fault::{DENIED, ERRORS, Fault, REFUSALS},
    fault_kind::{
        CommandFault, FaultClass, FaultKind, LinkFault, LossFault, Needs, ProcessFault, ServerFault,
    },
};

/// The times of a run that durations of faults are drawn from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    /// The time span in which faults begin, in milliseconds.
    pub(crate) chaos: u64,
    /// The store's reply timeout, in milliseconds.
    pub(crate) reply_timeout: u64,
    /// The longest deadline, in milliseconds.
    pub(crate) deadline: u64,
    /// The lock's TTL, in milliseconds.
    pub(crate) lock_ttl: u64,
}

/// How long `appendfsync everysec` may leave writes unsynced, in milliseconds.
const EVERYSEC_MS: i64 = 1000;

const DAY: i64 = 86_400;

/// About as many bytes as three anchors have.
const LINES: i64 = 400;

impl FaultKind {
    /// How long it lasts, in milliseconds.
    fn draw_duration(self, rng: &mut impl Rng, scale: Scale) -> u64 {
        let timeout = scale.reply_timeout.max(10);
        match self {
            _ if self.is_instant() => 0,
            // Longer than the lock's TTL, so that the holder has lost it.
            Self::ProcessFault(ProcessFault::Pause)
            | Self::ServerFault(ServerFault::RedisStopped) => {
                scale.lock_ttl + rng.random_range(10..=timeout)
            }
            Self::ProcessFault(ProcessFault::Crash) => rng.random_range(10..=timeout),
            Self::ServerFault(ServerFault::RedisRestart | ServerFault::RedisKilled) => {
                rng.random_range(10..=timeout / 2 + 10)
            }
            Self::LossFault(LossFault::SentinelFailover)
            | Self::ServerFault(ServerFault::SentinelsKilled) => {
                rng.random_range(timeout..=8 * timeout)
            }
            // Longer than finding the node to which it moves.
            Self::ServerFault(ServerFault::SlotMigration) => {
                rng.random_range(timeout..=6 * timeout)
            }
            Self::LossFault(LossFault::ClusterFailover) => rng.random_range(timeout..=4 * timeout),
            Self::LossFault(kind) if kind.restarts() => rng.random_range(10..=timeout / 2 + 10),
            _ => rng.random_range(20..=2 * timeout),
        }
    }

    /// How strong it is; see [`Fault::amount`].
    fn draw_amount(self, rng: &mut impl Rng, scale: Scale) -> i64 {
        let timeout = i64::try_from(scale.reply_timeout.max(10)).unwrap_or(i64::MAX / 8);
        // From below the reply timeout to well above it.
        let delay = timeout / 2..=3 * timeout;
        match self {
            Self::CommandFault(kind) if kind.cuts() => [20, 50, 100][rng.random_range(0..3)],
            Self::CommandFault(CommandFault::LimitedBandwidth) => {
                [1, 4, 16][rng.random_range(0..3)]
            }
            Self::CommandFault(CommandFault::ErrorAfterExecution) => {
                rng.random_range(0..ERRORS.len() as i64)
            }
            // One in two can arrive after its sender's deadline.
            Self::CommandFault(CommandFault::LateCommand) if rng.random_ratio(1, 2) => {
                let deadline = i64::try_from(scale.deadline).unwrap_or(i64::MAX / 8);
                rng.random_range(deadline / 2..=3 * deadline)
            }
            // A bit for each; all of them half of the time.
            Self::ServerFault(ServerFault::SentinelsKilled) => {
                [7, rng.random_range(1..7)][rng.random_range(0..2)]
            }
            Self::ServerFault(ServerFault::Noperm) => rng.random_range(0..DENIED.len() as i64),
            Self::CommandFault(_)
            | Self::ServerFault(ServerFault::SlowScript)
            | Self::ProcessFault(ProcessFault::KeyStorageSlow | ProcessFault::AnchorMediumSlow) => {
                rng.random_range(delay)
            }
            Self::ProcessFault(ProcessFault::AnchorMediumFull) => rng.random_range(0..=LINES),
            Self::LinkFault(LinkFault::LatencySpike) => rng.random_range(10..=timeout / 2 + 10),
            Self::LinkFault(LinkFault::LaggingReplica) => rng.random_range(1..=timeout),
            Self::LinkFault(LinkFault::NodeReplaced) => rng.random_range(0..REFUSALS.len() as i64),
            Self::ProcessFault(ProcessFault::ClockJump)
            | Self::ServerFault(ServerFault::ServerClockJump) => {
                let distance = match rng.random_range(0..4) {
                    0 => rng.random_range(1..=60),
                    1 | 2 => rng.random_range(60..=5 * DAY),
                    _ => rng.random_range(5 * DAY..=100 * DAY),
                };
                either_way(rng, distance)
            }
            Self::ProcessFault(ProcessFault::ClockDrift) => {
                let rate = [1, 60, 3600][rng.random_range(0..3)];
                either_way(rng, rate)
            }
            Self::LossFault(kind) => kind.draw_amount(rng, scale),
            Self::LinkFault(_)
            | Self::ProcessFault(_)
            | Self::LockFault(_)
            | Self::ServerFault(_) => 0,
        }
    }
}

impl LossFault {
    fn draw_amount(self, rng: &mut impl Rng, scale: Scale) -> i64 {
        let most = i64::try_from(scale.chaos.max(1)).unwrap_or(i64::MAX / 8);
        match self {
            Self::UnsyncedTailLost => rng.random_range(1..=EVERYSEC_MS.min(most)),
            // One in three has no snapshot at all.
            Self::CrashWithoutAof if rng.random_ratio(1, 3) => 0,
            Self::LaggingReplicaPromoted => rng.random_range(1..=most / 4 + 1),
            // Half of the time the replica has all.
            Self::SentinelFailover | Self::ClusterFailover => {
                rng.random_range(-most / 4..=most / 4).max(0)
            }
            Self::CrashWithoutAof | Self::SnapshotRestored | Self::KeyRestored => {
                rng.random_range(1..=most)
            }
            // Neither none nor all of three processes.
            Self::SplitBrain => rng.random_range(0..1024) << 3 | rng.random_range(1..7),
            Self::KeysEvicted | Self::EvictingRestart | Self::KeyDeleted => {
                rng.random_range(1..1024)
            }
            Self::Flushall => 0,
        }
    }
}

fn either_way(rng: &mut impl Rng, distance: i64) -> i64 {
    if rng.random_bool(0.5) {
        distance
    } else {
        -distance
    }
}

impl Fault {
    /// Draws faults of the given kinds. Their weights are drawn too; some are 0.
    pub(crate) fn draw_some(
        rng: &mut impl Rng,
        kinds: &[FaultKind],
        replicas: usize,
        scale: Scale,
    ) -> Vec<Self> {
        let weighted: Vec<(FaultKind, u32)> = FaultKind::all()
            .filter(|kind| kinds.contains(kind) && !kind.strikes_anchors())
            .filter(|kind| kind.needs() != Needs::Topology)
            .filter(|kind| kind.class() != FaultClass::DataLoss)
            .map(|kind| (kind, [0, 0, 0, 1, 2, 8][rng.random_range(0..6)]))
            .collect();
        let total: u32 = weighted.iter().map(|(_, weight)| weight).sum();
        if total == 0 {
            return Vec::new();
        }
        let count = [1, 3, 6, 12, 24][rng.random_range(0..5)];
        let mut faults: Vec<Self> = (0..count)
            .map(|_| {
                let mut drawn = rng.random_range(0..total);
                let mut kind = weighted[0].0;
                for (candidate, weight) in &weighted {
                    kind = *candidate;
                    if drawn < *weight {
                        break;
                    }
                    drawn -= weight;
                }
                Self::draw(rng, kind, replicas, scale)
            })
            .collect();
        faults.sort_by_key(|fault| fault.at);
        faults
    }

    /// Draws at most four faults of the anchors of these replicas, of the given kinds.
    pub(crate) fn draw_of_anchors(
        rng: &mut impl Rng,
        kinds: &[FaultKind],
        replicas: &[usize],
        scale: Scale,
    ) -> Vec<Self> {
        let kinds = kinds.iter().copied();
        let kinds: Vec<_> = kinds.filter(|kind| kind.strikes_anchors()).collect();
        if kinds.is_empty() || replicas.is_empty() {
            return Vec::new();
        }
        let count = [0, 1, 2, 4][rng.random_range(0..4)];
        let draw = |_| {
            let kind = kinds[rng.random_range(0..kinds.len())];
            let replica = replicas[rng.random_range(0..replicas.len())];
            Self {
                replica: Some(replica),
                ..Self::draw(rng, kind, 1, scale)
            }
        };
        (0..count).map(draw).collect()
    }

    /// Draws a restart after which Redis evicts, if it is of the given kinds: about as often
    /// as any other fault that loses data.
    pub(crate) fn draw_evicting_restart(
        rng: &mut impl Rng,
        kinds: &[FaultKind],
        replicas: usize,
        scale: Scale,
    ) -> Option<Self> {
        let kind = LossFault::EvictingRestart.into();
        let is_loss = |kind: &FaultKind| kind.class() == FaultClass::DataLoss;
        let worlds = match kinds {
            [only] if *only == kind => 1,
            losses if losses.iter().all(is_loss) => 10,
            _ => 40,
        };
        let is_drawn = kinds.contains(&kind) && rng.random_ratio(1, worlds);
        is_drawn.then(|| Self::draw(rng, kind, replicas, scale))
    }

    /// Draws at most two other faults that lose data, of the given kinds: in one world of
    /// four, or, where there are no other faults, in each.
    pub(crate) fn draw_losses(
        rng: &mut impl Rng,
        kinds: &[FaultKind],
        replicas: usize,
        scale: Scale,
    ) -> Vec<Self> {
        let is_loss = |kind: &FaultKind| kind.class() == FaultClass::DataLoss;
        let is_alone = kinds.iter().all(is_loss);
        let mut losses: Vec<_> = kinds.iter().copied().filter(is_loss).collect();
        losses.retain(|kind| {
            *kind != LossFault::EvictingRestart.into() && kind.needs() != Needs::Topology
        });
        if losses.is_empty() || !(is_alone || rng.random_ratio(1, 4)) {
            return Vec::new();
        }
        let count = if rng.random_ratio(1, 5) { 2 } else { 1 };
        let mut drawn: Vec<Self> = (0..count)
            .map(|_| {
                let kind = losses[rng.random_range(0..losses.len())];
                Self::draw(rng, kind, replicas, scale)
            })
            .collect();
        drawn.sort_by_key(|fault| fault.at);
        // What is mended after such a fault could be lost in its turn, which no history
        // tells.
        if drawn.first().is_some_and(Self::strikes_keys) {
            drawn.truncate(1);
        }
        drawn
    }

    /// Draws one fault of a kind.
    pub(crate) fn draw(rng: &mut impl Rng, kind: FaultKind, replicas: usize, scale: Scale) -> Self {
        let lasts = kind.draw_duration(rng, scale);
        let amount = kind.draw_amount(rng, scale);
        Self {
            at: rng.random_range(0..scale.chaos.max(1)),
            lasts,
            kind,
            replica: kind
                .strikes_one()
                .then(|| rng.random_range(0..replicas.max(1))),
            amount,
            once: false,
        }
    }
}
