//! The way to Redis: one server, a primary that Sentinels name, or a cluster.

use std::time::Duration;

use haechi_store_redis::redis::SentinelTimes;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Fault, FaultClass, FaultKind, LossFault, Scale, ServerFault};

/// How the processes of a world reach Redis.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Deserialize,
    clap::ValueEnum,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Topology {
    /// By the address of one server.
    #[default]
    Server,
    /// By three Sentinels, who name the primary of two servers.
    Sentinel,
    /// By the nodes of a cluster, two of which can serve the slot of the store's keys.
    Cluster,
}

/// The amount of a fault that kills the Sentinel which leads the failover.
pub(crate) const LEADER: i64 = 8;

impl Topology {
    /// One server in four worlds of five.
    pub(super) fn draw(rng: &mut impl Rng) -> Self {
        match rng.random_range(0..10) {
            0 => Self::Sentinel,
            1 => Self::Cluster,
            _ => Self::Server,
        }
    }

    /// Whether it is one server.
    #[must_use]
    pub fn is_server(&self) -> bool {
        *self == Self::Server
    }

    /// Whether this fault can strike there.
    pub(crate) fn has(self, kind: FaultKind) -> bool {
        kind.topology().is_none_or(|only| only == self)
    }

    /// Draws faults that strike nowhere else, of the given kinds, and of links to some of
    /// the hosts only.
    pub(super) fn draw_faults(
        self,
        rng: &mut impl Rng,
        faults: &mut [Fault],
        kinds: &[FaultKind],
        scale: Scale,
    ) -> Vec<Fault> {
        let hosts = match self {
            Self::Server => return Vec::new(),
            Self::Sentinel => 5,
            Self::Cluster => 2,
        };
        for fault in faults.iter_mut().filter(|fault| fault.strikes_hosts()) {
            if rng.random_bool(0.5) {
                fault.amount = rng.random_range(1..1 << hosts);
            }
        }
        let own = match self {
            Self::Sentinel => &[
                FaultKind::ServerFault(ServerFault::SentinelsKilled),
                FaultKind::LossFault(LossFault::SentinelFailover),
            ],
            _ => &[
                FaultKind::ServerFault(ServerFault::SlotMigration),
                FaultKind::LossFault(LossFault::ClusterFailover),
            ],
        };
        let own: Vec<FaultKind> = own
            .iter()
            .copied()
            .filter(|kind| kinds.contains(kind))
            .collect();
        if own.is_empty() {
            return Vec::new();
        }
        let count = [0, 1, 2, 3][rng.random_range(0..4)];
        // Early, so that there is something left to do after it.
        let early = Scale {
            chaos: scale.chaos / 2,
            ..scale
        };
        let draw = |_| {
            let kind = own[rng.random_range(0..own.len())];
            let is_loss = kind.class() == FaultClass::DataLoss;
            Fault::draw(rng, kind, 1, if is_loss { early } else { scale })
        };
        let mut drawn: Vec<Fault> = (0..count).map(draw).collect();
        // What the second of two failovers at a time takes is not accounted for.
        drawn.sort_by_key(|fault| fault.at);
        let mut over = None;
        drawn.retain(|fault| {
            let is_failover = fault.kind == LossFault::SentinelFailover.into();
            let is_second = is_failover && over.is_some_and(|over| fault.at <= over);
            if is_failover && !is_second {
                over = Some(fault.at + fault.lasts);
            }
            !is_second
        });
        let failover = |fault: &&Fault| fault.kind == LossFault::SentinelFailover.into();
        if let Some(failover) = drawn.iter().find(failover).copied() {
            for fault in &mut drawn {
                if fault.kind != ServerFault::SentinelsKilled.into() {
                    continue;
                }
                let all = |fault: &mut Fault| {
                    (fault.at, fault.lasts, fault.amount) = (failover.at, failover.lasts, 7);
                };
                match rng.random_range(0..4) {
                    // All Sentinels may run where the primary does.
                    0 | 1 => all(fault),
                    // It has told some, and not yet all.
                    2 => {
                        all(fault);
                        let told = rng.random_range(failover.lasts / 10..=failover.lasts / 4);
                        (fault.at, fault.lasts) = (failover.at + told, failover.lasts - told);
                        fault.amount = LEADER;
                    }
                    _ => {}
                }
            }
            drawn.sort_by_key(|fault| fault.at);
        }
        drawn
    }

    /// When Sentinels are asked, by the timeout of a reply: as much more often than in
    /// production as that is shorter, and so that there is time for an answer. Whether writes
    /// stop while none answers.
    pub(crate) fn sentinel_times(reply: u64, latency: u64, stops: bool) -> SentinelTimes {
        let mut times = SentinelTimes::default();
        times.every = Duration::from_millis(reply / 2);
        times.answer = Duration::from_millis((reply / 4).max(4 * latency + 40));
        if stops {
            times.stop_after = Some(times.every + times.answer);
        }
        // Longer than a failover takes.
        times.forget = Duration::from_millis(20 * reply.max(10));
        times
    }

    /// How long a dial takes at least, if all answer: to Sentinels, and from node to node.
    pub(super) fn connect_time(self, latency: u64) -> u64 {
        match self {
            Self::Server => 0,
            Self::Sentinel | Self::Cluster => 20 * latency + 150,
        }
    }
}

/// Whether data is lost by one of them.
pub(super) fn lose_data(faults: &[Fault]) -> bool {
    faults
        .iter()
        .any(|fault| fault.kind.class() == FaultClass::DataLoss)
}
