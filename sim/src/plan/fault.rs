//! Faults as data: what fails, when, where and for how long. A plan of faults
//! can be printed, compared and shrunk.
//!
//! Each group of kinds is an enum of its own, so that code that carries out a
//! group matches on all its kinds, and a forgotten one does not compile.

use std::{fmt, time::Duration};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

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
            },
            Self::LossFault(LossFault::SplitBrain) => Needs::TwoPrimaries,
            Self::LossFault(LossFault::EvictingRestart) => Needs::ServerModes,
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
                | LossFault::EvictingRestart => false,
                LossFault::LaggingReplicaPromoted
                | LossFault::Flushall
                | LossFault::KeysEvicted
                | LossFault::KeyDeleted
                | LossFault::KeyRestored => true,
            },
        }
    }

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

/// How long `appendfsync everysec` may leave writes unsynced, in milliseconds.
const EVERYSEC_MS: i64 = 1000;

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

    fn draw_amount(self, rng: &mut impl Rng, scale: Scale) -> i64 {
        let most = i64::try_from(scale.chaos.max(1)).unwrap_or(i64::MAX / 8);
        match self {
            Self::UnsyncedTailLost => rng.random_range(1..=EVERYSEC_MS.min(most)),
            // One in three has no snapshot at all.
            Self::CrashWithoutAof if rng.random_ratio(1, 3) => 0,
            Self::LaggingReplicaPromoted => rng.random_range(1..=most / 4 + 1),
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

const DAY: i64 = 86_400;

/// About as many bytes as three anchors have.
const LINES: i64 = 400;

impl ProcessFault {
    /// Whether the process loses power.
    pub(crate) fn crashes(self) -> bool {
        matches!(self, Self::Crash | Self::AnchorTorn | Self::AnchorUnsynced)
    }
}

/// Errors that do not promise that nothing was applied: of a proxy, and of Redis.
const ERRORS: [&str; 5] = [
    "ERR upstream timeout",
    "ERR Protocol error: invalid bulk length",
    "ERR Error running script",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "UPSTREAM the connection was lost",
];

/// What a node answers that does not serve the keys, or is a replica.
const REFUSALS: [&str; 3] = [
    "MOVED 3999 redis:6379",
    "ASK 3999 redis:6379",
    "READONLY You can't write against a read only replica.",
];

/// Commands that a user may not run: those that append and set, or that of the expiry
/// index.
const DENIED: [&[&str]; 2] = [&["rpush", "hset"], &["zadd"]];

fn either_way(rng: &mut impl Rng, distance: i64) -> i64 {
    if rng.random_bool(0.5) {
        distance
    } else {
        -distance
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
            let known: Vec<_> = Self::all().map(Self::name).collect();
            format!("{name:?} is not a fault; known are {}", known.join(", "))
        })
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// One fault of a plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    /// When it begins, in milliseconds since the run began.
    pub at: u64,
    /// How long it lasts, in milliseconds; 0 if it is instant.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lasts: u64,
    /// What it is.
    pub kind: FaultKind,
    /// The replica it strikes; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<usize>,
    /// How strong: a probability in percent for resets, milliseconds for
    /// delays and lags, bytes a millisecond for bandwidths, bytes for room on a medium,
    /// seconds for jumps,
    /// seconds a tick for drifts; for errors, refusals and denials, which ones. For lost
    /// data, how many milliseconds old what is left is, or which keys or, bit by bit,
    /// which processes.
    #[serde(default, skip_serializing_if = "is_none")]
    pub amount: i64,
    /// Whether it strikes the first command that it can, always, and then ends,
    /// rather than all commands while it lasts or some of them at random.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub once: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(time: &u64) -> bool {
    *time == 0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_none(amount: &i64) -> bool {
    *amount == 0
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>6} ms", self.at)?;
        match self.lasts {
            0 => write!(f, "             ")?,
            lasts => write!(f, "  for {lasts:>4} ms")?,
        }
        write!(f, "  {}", self.kind)?;
        if let Some(replica) = self.replica {
            write!(f, " of r{replica}")?;
        }
        if self.amount != 0 {
            write!(f, " ({})", self.amount)?;
        }
        if self.once {
            write!(f, ", once")?;
        }
        Ok(())
    }
}

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
        losses.retain(|kind| *kind != LossFault::EvictingRestart.into());
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

    /// Whether it takes some of the keys, and leaves the others as they are.
    pub(crate) fn strikes_keys(&self) -> bool {
        match self.kind {
            FaultKind::LossFault(kind) => kind.strikes_keys(),
            _ => false,
        }
    }

    /// How long so many bytes take through a limited bandwidth.
    pub(crate) fn transfer_time(&self, bytes: usize) -> Duration {
        Duration::from_millis(bytes as u64 / self.amount.unsigned_abs().max(1))
    }

    /// The commands that are denied.
    pub(crate) fn denied(&self) -> &'static [&'static str] {
        DENIED[self.amount.unsigned_abs() as usize % DENIED.len()]
    }

    /// The error that is replied after a command ran.
    pub(crate) fn error(&self) -> &'static str {
        ERRORS[self.amount.unsigned_abs() as usize % ERRORS.len()]
    }

    /// The error by which a node that was replaced refuses this command.
    pub(crate) fn refusal(&self, is_script: bool) -> Option<&'static str> {
        let refusal = REFUSALS[self.amount.unsigned_abs() as usize % REFUSALS.len()];
        (is_script || !refusal.starts_with("READONLY")).then_some(refusal)
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
