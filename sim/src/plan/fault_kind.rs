//! The kinds of faults.
//!
//! Each group of kinds is an enum of its own, so that code that carries out a
//! group matches on all its kinds, and a forgotten one does not compile.

use std::fmt;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

use super::Topology;

/// A group of faults that is switched on and off together.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    clap::ValueEnum,
    VariantArray,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum FaultClass {
    /// Between a replica and Redis.
    Network,
    /// In a replica's process.
    Replica,
    /// In the contention lock.
    Lock,
    /// In Redis, without loss of acknowledged data.
    Redis,
    /// In Redis, which loses acknowledged data.
    DataLoss,
}

impl FaultClass {
    /// The kinds of faults in it.
    pub fn kinds(self) -> impl Iterator<Item = FaultKind> {
        FaultKind::all().filter(move |kind| kind.class() == self)
    }
}

/// Declares one group of kinds.
macro_rules! group {
    ($(#[doc = $doc:literal])+ $name:ident { $($(#[doc = $what:literal])+ $kind:ident,)+ }) => {
        $(#[doc = $doc])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            EnumString, IntoStaticStr, VariantArray,
        )]
        #[strum(serialize_all = "snake_case")]
        pub enum $name { $($(#[doc = $what])+ $kind,)+ }

        impl From<$name> for FaultKind {
            fn from(kind: $name) -> Self {
                Self::$name(kind)
            }
        }
    };
}

group! {
    /// Faults of the link between one replica and Redis.
    LinkFault {
        /// Every packet takes several times as long.
        LatencySpike,
        /// Nothing passes in either direction.
        Partition,
        /// Commands do not reach Redis; replies are delivered.
        PartitionToRedis,
        /// Commands reach Redis and run; the replies are lost.
        PartitionFromRedis,
        /// Packets wait, and all arrive at the end.
        HeldLink,
        /// The address leads to a replica of Redis that lags behind the primary.
        LaggingReplica,
        /// The address leads to another node from now on: that of the open
        /// connections answers every command with MOVED or ASK, or has become a
        /// replica and runs no script.
        NodeReplaced,
    }
}

group! {
    /// Faults that strike single commands of one replica.
    CommandFault {
        /// The connection is reset when a command arrives, before it runs.
        ResetBeforeExecution,
        /// The connection is reset after a command ran, before its reply.
        ResetAfterExecution,
        /// The connection is reset in the middle of a reply.
        ResetMidReply,
        /// An error is replied after a command ran, which does not say so.
        ErrorAfterExecution,
        /// A command runs long after it was sent; its sender may be gone.
        LateCommand,
        /// A reply arrives long after its command ran.
        LateReply,
        /// Replies are delayed in proportion to their size.
        LimitedBandwidth,
    }
}

group! {
    /// Faults of one replica's process.
    ProcessFault {
        /// The process loses power, and starts again with no memory.
        Crash,
        /// The process stops for longer than its lock's TTL.
        Pause,
        /// The wall clock jumps by seconds to months, either way.
        ClockJump,
        /// The wall clock goes too fast or too slow, or backwards.
        ClockDrift,
        /// It rotates the keys that all processes share.
        KeyRotation,
        /// The storage of the keys cannot be read or written.
        KeyStorageDown,
        /// Every access to the storage of the keys takes long.
        KeyStorageSlow,
        /// Writing and syncing anchors takes long, or hangs.
        AnchorMediumSlow,
        /// The medium of the anchors takes a few bytes more, then none; half of the time
        /// it does not sync either.
        AnchorMediumFull,
        /// The process loses power while an anchor is written: a part of its line is left.
        AnchorTorn,
        /// The process loses power before an anchor is synced: nothing of it is left.
        AnchorUnsynced,
    }
}

group! {
    /// Faults of the contention lock: changes of its key.
    LockFault {
        /// The lock's key is deleted.
        LockDeleted,
        /// Another holder takes the lock while it is held.
        LockStolen,
        /// The lock's TTL ends while it is held.
        LockLapsed,
        /// Another holder always has the lock, each time with a new token.
        LockNeverGranted,
        /// The holder died: one token, until its TTL ends.
        LockHolderDead,
    }
}

group! {
    /// Faults of Redis itself.
    ServerFault {
        /// Redis restarts: connections and scripts are gone, data is kept.
        RedisRestart,
        /// SCRIPT FLUSH.
        ScriptFlush,
        /// -BUSY.
        Busy,
        /// -LOADING.
        Loading,
        /// -READONLY.
        Readonly,
        /// -OOM.
        Oom,
        /// -MISCONF.
        Misconf,
        /// -NOPERM, for a command inside the scripts.
        Noperm,
        /// New clients are refused.
        MaxClients,
        /// A script blocks the server.
        SlowScript,
        /// The server is killed (SIGKILL), and started again on what it has
        /// written.
        RedisKilled,
        /// The server is stopped (SIGSTOP) for longer than the lock's TTL and
        /// every timeout, and continued.
        RedisStopped,
        /// CLIENT KILL, for all connections.
        ClientsKilled,
        /// The server's wall clock jumps by seconds to months, either way; locks
        /// are lost.
        ServerClockJump,
        /// The slot of the store's keys moves to the other node of a cluster, key by key.
        SlotMigration,
        /// Some of the Sentinels, or all, are killed, and started again after a while.
        SentinelsKilled,
    }
}

group! {
    /// Faults of Redis that lose acknowledged data. A crash with `appendfsync always`
    /// loses none: that is `redis_killed`.
    LossFault {
        /// Redis crashes, and what it had not yet synced (`appendfsync everysec`) is gone.
        UnsyncedTailLost,
        /// Redis crashes without an AOF: it has what was in its last snapshot, or nothing.
        CrashWithoutAof,
        /// An older snapshot is put in place.
        SnapshotRestored,
        /// A replica of Redis that lags behind becomes the primary.
        LaggingReplicaPromoted,
        /// A replica of Redis becomes a primary while the old one goes on, each with some
        /// of the processes, until the old one is demoted and its writes are gone.
        SplitBrain,
        /// Sentinel promotes the replica, with what it had some time ago. The Sentinels learn
        /// of it one after the other, and the deposed primary goes on until it is demoted.
        SentinelFailover,
        /// The node of a cluster that serves the slot dies, and after a while the replica
        /// serves it, with what it had some time ago.
        ClusterFailover,
        /// FLUSHALL.
        Flushall,
        /// A full Redis evicts some of the keys.
        KeysEvicted,
        /// Redis restarts with a maxmemory-policy by which it evicts, until it restarts with
        /// the one before; then some of the keys are evicted.
        EvictingRestart,
        /// One of the keys is deleted.
        KeyDeleted,
        /// One of the keys is taken back to what it was.
        KeyRestored,
    }
}

/// A means that carrying out a fault needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// To delay and hold data between a replica and Redis.
    Link,
    /// To lose data there, in one direction or both.
    LossyLink,
    /// A replica of the server, to connect a process to.
    ReplicaServer,
    /// To parse commands and replies on the link.
    Commands,
    /// To stop and kill a replica.
    Process,
    /// To set the wall clock of a replica or of the server.
    WallClock,
    /// To come between a replica and the storage of its keys.
    KeyStorage,
    /// To come between a replica and the medium of its anchors.
    AnchorMedium,
    /// To write the lock's key.
    LockKey,
    /// A command of the server, or to cut its connections.
    ServerCommands,
    /// A server state that no command sets.
    ServerModes,
    /// To send signals to the server's process.
    ServerProcess,
    /// To put other data in the server's place.
    ServerData,
    /// Two servers that take writes, each from some of the processes.
    TwoPrimaries,
    /// Sentinels, or a cluster.
    Topology,
}

/// One kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
#[expect(missing_docs, reason = "each group says what it is")]
pub enum FaultKind {
    LinkFault(LinkFault),
    CommandFault(CommandFault),
    ProcessFault(ProcessFault),
    LockFault(LockFault),
    ServerFault(ServerFault),
    LossFault(LossFault),
}

impl FaultKind {
    /// All of them, in the order of their classes.
    pub fn all() -> impl Iterator<Item = Self> {
        fn group<K: Copy + Into<FaultKind>>(
            kinds: &'static [K],
        ) -> impl Iterator<Item = FaultKind> {
            kinds.iter().map(|kind| (*kind).into())
        }
        group(LinkFault::VARIANTS)
            .chain(group(CommandFault::VARIANTS))
            .chain(group(ProcessFault::VARIANTS))
            .chain(group(LockFault::VARIANTS))
            .chain(group(ServerFault::VARIANTS))
            .chain(group(LossFault::VARIANTS))
    }

    /// The name in reports.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LinkFault(kind) => kind.into(),
            Self::CommandFault(kind) => kind.into(),
            Self::ProcessFault(kind) => kind.into(),
            Self::LockFault(kind) => kind.into(),
            Self::ServerFault(kind) => kind.into(),
            Self::LossFault(kind) => kind.into(),
        }
    }

    /// The class it belongs to.
    #[must_use]
    pub fn class(self) -> FaultClass {
        match self {
            Self::LinkFault(_) | Self::CommandFault(_) => FaultClass::Network,
            Self::ProcessFault(_) => FaultClass::Replica,
            Self::LockFault(_) => FaultClass::Lock,
            Self::ServerFault(_) => FaultClass::Redis,
            Self::LossFault(_) => FaultClass::DataLoss,
        }
    }

    /// Whether it can keep a command from being sent, run or answered in time.
    pub(crate) fn can_lose_commands(self) -> bool {
        match self {
            Self::LinkFault(_) | Self::CommandFault(_) => true,
            Self::ProcessFault(kind) => kind.crashes() || kind == ProcessFault::Pause,
            Self::LockFault(_) => false,
            Self::ServerFault(kind) => kind != ServerFault::ServerClockJump,
            Self::LossFault(_) => true,
        }
    }

    /// What is needed to carry it out.
    #[must_use]
    pub fn needs(self) -> Needs {
        match self {
            Self::LinkFault(kind) => match kind {
                LinkFault::LatencySpike | LinkFault::HeldLink => Needs::Link,
                LinkFault::Partition
                | LinkFault::PartitionToRedis
                | LinkFault::PartitionFromRedis => Needs::LossyLink,
                LinkFault::LaggingReplica => Needs::ReplicaServer,
                LinkFault::NodeReplaced => Needs::Commands,
            },
            Self::CommandFault(_) => Needs::Commands,
            Self::ProcessFault(kind) => match kind {
                ProcessFault::Crash | ProcessFault::Pause => Needs::Process,
                ProcessFault::ClockJump | ProcessFault::ClockDrift => Needs::WallClock,
                ProcessFault::KeyRotation
                | ProcessFault::KeyStorageDown
                | ProcessFault::KeyStorageSlow => Needs::KeyStorage,
                ProcessFault::AnchorMediumSlow
                | ProcessFault::AnchorMediumFull
                | ProcessFault::AnchorTorn
                | ProcessFault::AnchorUnsynced => Needs::AnchorMedium,
            },
            Self::LockFault(_) => Needs::LockKey,
            Self::ServerFault(kind) => match kind {
                ServerFault::ScriptFlush
                | ServerFault::Readonly
                | ServerFault::Oom
                | ServerFault::MaxClients
                | ServerFault::SlowScript
                | ServerFault::ClientsKilled => Needs::ServerCommands,
                ServerFault::Busy
                | ServerFault::Loading
                | ServerFault::Misconf
                | ServerFault::Noperm => Needs::ServerModes,
                ServerFault::RedisRestart
                | ServerFault::RedisKilled
                | ServerFault::RedisStopped => Needs::ServerProcess,
                ServerFault::ServerClockJump => Needs::WallClock,
                ServerFault::SlotMigration | ServerFault::SentinelsKilled => Needs::Topology,
            },
            Self::LossFault(LossFault::SplitBrain) => Needs::TwoPrimaries,
            Self::LossFault(LossFault::EvictingRestart) => Needs::ServerModes,
            Self::LossFault(LossFault::SentinelFailover | LossFault::ClusterFailover) => {
                Needs::Topology
            }
            Self::LossFault(_) => Needs::ServerData,
        }
    }

    /// Whether it strikes one replica rather than all.
    #[must_use]
    pub fn strikes_one(self) -> bool {
        match self {
            Self::LinkFault(_) | Self::CommandFault(_) | Self::ProcessFault(_) => true,
            Self::LockFault(_) | Self::ServerFault(_) | Self::LossFault(_) => false,
        }
    }

    /// Whether it strikes single commands of one replica.
    #[must_use]
    pub fn strikes_commands(self) -> bool {
        matches!(self, Self::CommandFault(_))
    }

    /// Whether it strikes the anchors of one replica.
    #[must_use]
    pub fn strikes_anchors(self) -> bool {
        self.needs() == Needs::AnchorMedium
    }

    /// The only way to Redis on which it can strike, if not on any.
    #[must_use]
    pub fn topology(self) -> Option<Topology> {
        match self {
            Self::LinkFault(LinkFault::LaggingReplica)
            | Self::LossFault(LossFault::LaggingReplicaPromoted | LossFault::SplitBrain) => {
                Some(Topology::Server)
            }
            Self::ServerFault(ServerFault::SentinelsKilled)
            | Self::LossFault(LossFault::SentinelFailover) => Some(Topology::Sentinel),
            Self::ServerFault(ServerFault::SlotMigration)
            | Self::LossFault(LossFault::ClusterFailover) => Some(Topology::Cluster),
            _ => None,
        }
    }

    /// Whether it ends as soon as it has begun.
    #[must_use]
    pub fn is_instant(self) -> bool {
        match self {
            Self::LinkFault(kind) => kind == LinkFault::NodeReplaced,
            Self::CommandFault(_) => false,
            Self::ProcessFault(kind) => {
                matches!(kind, ProcessFault::ClockJump | ProcessFault::KeyRotation)
            }
            Self::LockFault(kind) => kind != LockFault::LockNeverGranted,
            Self::ServerFault(kind) => {
                matches!(
                    kind,
                    ServerFault::ScriptFlush
                        | ServerFault::ClientsKilled
                        | ServerFault::ServerClockJump
                )
            }
            Self::LossFault(kind) => match kind {
                LossFault::UnsyncedTailLost
                | LossFault::CrashWithoutAof
                | LossFault::SnapshotRestored
                | LossFault::SplitBrain
                | LossFault::SentinelFailover
                | LossFault::ClusterFailover
                | LossFault::EvictingRestart => false,
                LossFault::LaggingReplicaPromoted
                | LossFault::Flushall
                | LossFault::KeysEvicted
                | LossFault::KeyDeleted
                | LossFault::KeyRestored => true,
            },
        }
    }
}

impl LossFault {
    /// Whether Redis stops, and starts again after a while.
    pub(crate) fn restarts(self) -> bool {
        matches!(
            self,
            Self::UnsyncedTailLost | Self::CrashWithoutAof | Self::SnapshotRestored
        )
    }

    /// Whether some of the keys are struck, and the others stay as they are.
    pub(crate) fn strikes_keys(self) -> bool {
        matches!(
            self,
            Self::KeysEvicted | Self::EvictingRestart | Self::KeyDeleted | Self::KeyRestored
        )
    }
}

impl ProcessFault {
    /// Whether the process loses power.
    pub(crate) fn crashes(self) -> bool {
        matches!(self, Self::Crash | Self::AnchorTorn | Self::AnchorUnsynced)
    }
}

impl CommandFault {
    /// Whether it cuts the connection that a command came on.
    pub(crate) fn cuts(self) -> bool {
        match self {
            Self::ResetBeforeExecution | Self::ResetAfterExecution | Self::ResetMidReply => true,
            Self::ErrorAfterExecution
            | Self::LateCommand
            | Self::LateReply
            | Self::LimitedBandwidth => false,
        }
    }
}

impl From<FaultKind> for &'static str {
    fn from(kind: FaultKind) -> Self {
        kind.name()
    }
}

impl TryFrom<String> for FaultKind {
    type Error = String;

    fn try_from(name: String) -> Result<Self, String> {
        Self::all().find(|kind| kind.name() == name).ok_or_else(|| {
            let known = in_lines(Self::all().map(Self::name));
            format!("{name:?} is not a fault; known are{known}")
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Names, on lines below what goes before them.
pub(crate) fn in_lines(names: impl Iterator<Item = &'static str>) -> String {
    let mut lines = vec![String::new()];
    for name in names {
        match lines.last_mut() {
            Some(line) if line.len() + name.len() < 74 && !line.is_empty() => {
                line.push_str(", ");
                line.push_str(name);
            }
            _ => lines.push(name.to_owned()),
        }
    }
    lines.join("\n  ")
}
