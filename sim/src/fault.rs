//! Faults as data: what can go wrong, when, to whom, for how long. A plan can
//! be printed, compared and cut down; who carries it out is in `world`.

use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// A group of faults that is switched on and off together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, clap::ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum FaultClass {
    /// What happens between a replica and Redis.
    Network,
    /// What happens to a replica's process.
    Replica,
    /// What happens to the contention lock.
    Lock,
    /// What Redis does while it keeps all that it has acknowledged.
    Redis,
}

impl FaultClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Network, Self::Replica, Self::Lock, Self::Redis];
}

macro_rules! fault_kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal in $class:ident;)+) => {
        /// One kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum FaultKind {
            $($(#[doc = $doc])+ #[serde(rename = $name)] $kind,)+
        }

        impl FaultKind {
            /// All of them, in the order of their classes.
            pub const ALL: &'static [Self] = &[$(Self::$kind,)+];

            /// The name in reports.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)+ }
            }

            /// The class it belongs to.
            #[must_use]
            pub fn class(self) -> FaultClass {
                match self { $(Self::$kind => FaultClass::$class,)+ }
            }
        }
    };
}

fault_kinds! {
    /// Every packet takes several times as long.
    LatencySpike = "latency_spike" in Network;
    /// Nothing passes in either direction.
    Partition = "partition" in Network;
    /// Commands do not reach Redis; its replies would get through.
    PartitionToRedis = "partition_to_redis" in Network;
    /// Commands reach Redis and run; the replies are lost.
    PartitionFromRedis = "partition_from_redis" in Network;
    /// Packets wait, and all arrive at the end.
    HeldLink = "held_link" in Network;
    /// The connection is reset when a command arrives, before it runs.
    ResetBeforeExecution = "reset_before_execution" in Network;
    /// The connection is reset after a command ran, before its reply.
    ResetAfterExecution = "reset_after_execution" in Network;
    /// The connection is reset in the middle of a reply.
    ResetMidReply = "reset_mid_reply" in Network;
    /// A command runs long after it was sent, its sender perhaps gone.
    LateCommand = "late_command" in Network;
    /// A reply arrives long after its command ran.
    LateReply = "late_reply" in Network;
    /// The process loses power, and starts again with no memory.
    Crash = "crash" in Replica;
    /// The process stands still, longer than its lock lives.
    Pause = "pause" in Replica;
    /// The wall clock jumps by minutes to days, either way.
    ClockJump = "clock_jump" in Replica;
    /// The lock's key is deleted.
    LockDeleted = "lock_deleted" in Lock;
    /// The lock's key is given to somebody else while it is held.
    LockStolen = "lock_stolen" in Lock;
    /// The lock's time to live runs out inside the section.
    LockLapsed = "lock_lapsed" in Lock;
    /// Somebody else always holds the lock, under a new token each time.
    LockNeverGranted = "lock_never_granted" in Lock;
    /// Its holder died: one token, until its time to live runs out.
    LockHolderDead = "lock_holder_dead" in Lock;
    /// Redis restarts: connections and scripts are gone, data is kept.
    RedisRestart = "redis_restart" in Redis;
    /// SCRIPT FLUSH.
    ScriptFlush = "script_flush" in Redis;
    /// -BUSY.
    Busy = "busy" in Redis;
    /// -LOADING.
    Loading = "loading" in Redis;
    /// -READONLY.
    ReadOnly = "readonly" in Redis;
    /// -OOM.
    OutOfMemory = "oom" in Redis;
    /// -MISCONF.
    MisConf = "misconf" in Redis;
    /// -NOPERM, for a command inside the scripts.
    NoPerm = "noperm" in Redis;
    /// No client more is let in.
    MaxClients = "max_clients" in Redis;
    /// Scripts take long, and everybody waits.
    SlowScript = "slow_script" in Redis;
}

impl FaultKind {
    /// Whether it strikes one replica rather than all.
    #[must_use]
    pub fn strikes_one(self) -> bool {
        matches!(self.class(), FaultClass::Network | FaultClass::Replica)
    }

    /// Whether it strikes single commands of one replica.
    #[must_use]
    pub fn strikes_commands(self) -> bool {
        self.cuts() || matches!(self, Self::LateCommand | Self::LateReply)
    }

    /// Whether it cuts the connection that a command came on.
    pub(crate) fn cuts(self) -> bool {
        matches!(
            self,
            Self::ResetBeforeExecution | Self::ResetAfterExecution | Self::ResetMidReply
        )
    }

    /// Whether it is over as soon as it has begun.
    #[must_use]
    pub fn is_instant(self) -> bool {
        matches!(
            self,
            Self::ClockJump
                | Self::LockDeleted
                | Self::LockStolen
                | Self::LockLapsed
                | Self::LockHolderDead
                | Self::ScriptFlush
        )
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
    /// When it begins, in milliseconds of simulated time.
    pub at: u64,
    /// How long it lasts, in milliseconds; 0 for what is over at once.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub lasts: u64,
    /// What it is.
    pub kind: FaultKind,
    /// The replica it strikes; `None` for all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica: Option<usize>,
    /// How much: a probability in percent for faults of single commands,
    /// milliseconds for delays, seconds for jumps.
    #[serde(default, skip_serializing_if = "is_none")]
    pub amount: i64,
    /// Whether it strikes the first command that it can, for certain, and is
    /// over then, rather than all while it lasts or some of them at random.
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

/// The scale of the times in a world, which faults are drawn to exceed or not.
#[derive(Clone, Copy, Debug)]
pub struct Scale {
    /// How long faults go on being drawn, in milliseconds.
    pub chaos: u64,
    /// The store's reply time-out, in milliseconds.
    pub reply_timeout: u64,
    /// The lock's time to live, in milliseconds.
    pub lock_ttl: u64,
}

/// Draws a plan: a number of faults of the given classes, whose kinds have
/// weights of their own in every world, down to none.
pub fn draw(
    rng: &mut impl Rng,
    classes: &[FaultClass],
    replicas: usize,
    scale: Scale,
) -> Vec<Fault> {
    let weighted: Vec<(FaultKind, u32)> = FaultKind::ALL
        .iter()
        .filter(|kind| classes.contains(&kind.class()))
        .map(|kind| (*kind, [0, 0, 0, 1, 2, 8][rng.random_range(0..6)]))
        .collect();
    let total: u32 = weighted.iter().map(|(_, weight)| weight).sum();
    if total == 0 {
        return Vec::new();
    }
    let count = [1, 3, 6, 12, 24][rng.random_range(0..5)];
    let mut plan: Vec<Fault> = (0..count)
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
            draw_one(rng, kind, replicas, scale)
        })
        .collect();
    plan.sort_by_key(|fault| fault.at);
    plan
}

fn draw_one(rng: &mut impl Rng, kind: FaultKind, replicas: usize, scale: Scale) -> Fault {
    let timeout = scale.reply_timeout.max(10);
    let lasts = match kind {
        _ if kind.is_instant() => 0,
        // Longer than the lock lives, so that its holder wakes up without it.
        FaultKind::Pause => scale.lock_ttl + rng.random_range(10..=timeout),
        FaultKind::Crash => rng.random_range(10..=timeout),
        FaultKind::RedisRestart => rng.random_range(10..=timeout / 2 + 10),
        _ => rng.random_range(20..=2 * timeout),
    };
    let amount = match kind {
        FaultKind::ResetBeforeExecution
        | FaultKind::ResetAfterExecution
        | FaultKind::ResetMidReply => [20, 50, 100][rng.random_range(0..3)],
        // Either side of the reply time-out, and well past it.
        FaultKind::LateCommand | FaultKind::LateReply | FaultKind::SlowScript => {
            i64::try_from(rng.random_range(timeout / 2..=3 * timeout)).unwrap_or(0)
        }
        FaultKind::LatencySpike => {
            i64::try_from(rng.random_range(10..=timeout / 2 + 10)).unwrap_or(0)
        }
        FaultKind::ClockJump => {
            let distance = rng.random_range(60..=5 * 86_400);
            if rng.random_bool(0.5) {
                distance
            } else {
                -distance
            }
        }
        _ => 0,
    };
    Fault {
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
