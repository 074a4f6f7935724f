//! How large the runs of a system are, and which faults strike.

use std::{ops::RangeInclusive, time::Duration};

use crate::plan::{
    CommandFault, FaultClass, FaultKind, LinkFault, LossFault, Needs, ProcessFault, Scale,
    ServerFault,
};

/// How large a run is, and which faults strike. The defaults suit a lock or a queue.
#[derive(Clone, Debug)]
pub struct Setup {
    /// How many Redis servers there are; at least 1.
    pub servers: usize,
    /// How many processes; drawn.
    pub processes: RangeInclusive<usize>,
    /// How many operations of each process; drawn. A search for an order of the calls takes at
    /// most 64 of them in a run.
    pub operations: RangeInclusive<usize>,
    /// The time within which operations and faults begin.
    pub span: Duration,
    /// How long a process is believed to be alive, as the TTL of a lock: pauses are longer.
    pub lease: Duration,
    /// After which a connection gives up waiting for a reply, and a dial for an answer. Delays are
    /// drawn from half of it to three times as long.
    pub reply_timeout: Duration,
    /// For how long no operation may end, once all faults have, before that is `no_progress`.
    pub patience: Duration,
    /// The faults that may strike, of those in [`Setup::supported`]; others are ignored. A seed
    /// draws a part of them.
    pub faults: Vec<FaultKind>,
}

impl Default for Setup {
    fn default() -> Self {
        let is_harmless = |kind: &FaultKind| kind.class() != FaultClass::DataLoss;
        Self {
            servers: 1,
            processes: 2..=4,
            operations: 2..=8,
            span: Duration::from_secs(2),
            lease: Duration::from_millis(300),
            reply_timeout: Duration::from_millis(200),
            patience: Duration::from_secs(20),
            faults: Self::supported().filter(is_harmless).collect(),
        }
    }
}

impl Setup {
    /// The faults that can strike a system of your own: those of links, commands, processes and
    /// servers, and, not among the defaults, those that lose data (class `data_loss`).
    pub fn supported() -> impl Iterator<Item = FaultKind> {
        FaultKind::all().filter(|kind| match kind {
            FaultKind::LinkFault(kind) => {
                !matches!(kind, LinkFault::LaggingReplica | LinkFault::NodeReplaced)
            }
            FaultKind::CommandFault(kind) => match kind {
                CommandFault::ResetBeforeExecution
                | CommandFault::ResetAfterExecution
                | CommandFault::ResetMidReply
                | CommandFault::ErrorAfterExecution
                | CommandFault::LateCommand
                | CommandFault::LateReply
                | CommandFault::LimitedBandwidth => true,
            },
            FaultKind::ProcessFault(kind) => matches!(
                kind,
                ProcessFault::Crash
                    | ProcessFault::Pause
                    | ProcessFault::ClockJump
                    | ProcessFault::ClockDrift
            ),
            // Which keys are locks is not known here.
            FaultKind::LockFault(_) => false,
            FaultKind::ServerFault(kind) => !matches!(
                kind,
                // Of other ways to Redis; only of EVALSHA; and of the commands of the store.
                ServerFault::SlotMigration
                    | ServerFault::SentinelsKilled
                    | ServerFault::SlowScript
                    | ServerFault::Noperm
            ),
            FaultKind::LossFault(kind) => {
                !matches!(kind, LossFault::SplitBrain | LossFault::EvictingRestart)
                    && FaultKind::from(*kind).needs() != Needs::Topology
            }
        })
    }

    /// The faults that may strike.
    pub(super) fn kinds(&self) -> Vec<FaultKind> {
        let supported = Self::supported();
        supported
            .filter(|kind| self.faults.contains(kind))
            .collect()
    }

    /// The times that faults are drawn from.
    pub(super) fn scale(&self) -> Scale {
        let reply_timeout = millis(self.reply_timeout);
        Scale {
            chaos: millis(self.span),
            reply_timeout,
            deadline: 3 * reply_timeout,
            lock_ttl: millis(self.lease),
        }
    }
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
