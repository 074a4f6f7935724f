//! Faults as data: what fails, when, where and for how long. A plan of faults
//! can be printed, compared and shrunk.

use std::{fmt, time::Duration};

use serde::{Deserialize, Serialize};

use super::fault_kind::{FaultKind, LinkFault, ProcessFault, ServerFault};

/// Errors that do not promise that nothing was applied: of a proxy, and of Redis.
pub(super) const ERRORS: [&str; 5] = [
    "ERR upstream timeout",
    "ERR Protocol error: invalid bulk length",
    "ERR Error running script",
    "UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)",
    "UPSTREAM the connection was lost",
];

/// What a node answers that does not serve the keys, or is a replica.
pub(super) const REFUSALS: [&str; 3] = [
    "MOVED 3999 redis:6379",
    "ASK 3999 redis:6379",
    "READONLY You can't write against a read only replica.",
];

/// Commands that a user may not run: those that append and set, or that of the expiry
/// index.
pub(super) const DENIED: [&[&str]; 2] = [&["rpush", "hset"], &["zadd"]];

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
    /// which processes or Sentinels. For partitions, bit by bit, which hosts of Redis; 0 for all.
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
        match self.kind {
            FaultKind::ProcessFault(ProcessFault::ClockJump)
            | FaultKind::ServerFault(ServerFault::ServerClockJump) => {
                write!(f, " (by {} s)", self.amount)?;
            }
            _ if self.amount != 0 => write!(f, " ({})", self.amount)?,
            _ => {}
        }
        if self.once {
            write!(f, ", once")?;
        }
        Ok(())
    }
}

impl Fault {
    /// Whether it strikes the link to all hosts of Redis, or, by its amount, bit by bit, to
    /// some.
    pub(crate) fn strikes_hosts(&self) -> bool {
        matches!(
            self.kind,
            FaultKind::LinkFault(
                LinkFault::Partition
                    | LinkFault::PartitionToRedis
                    | LinkFault::PartitionFromRedis
                    | LinkFault::HeldLink
            )
        )
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
}
