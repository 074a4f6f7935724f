//! Coverage marks: the situations that a run is worth nothing without. A run
//! that never met one says so.

use std::{collections::BTreeMap, fmt, sync::LazyLock};

use haechi_store_redis::{
    audit::AuditStats,
    redis::script::{RELEASE, Script},
    vault::VaultStats,
};

use super::WorldOptions;
use crate::fault::{FaultClass, FaultKind};
use haechi_history::{History, Outcome};
use redis_sim::{Command, Reply};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum End {
    /// Applied, or answered.
    Ok,
    /// Certainly not applied.
    Fail,
    /// Open.
    Unknown,
}

/// A situation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A batch whose reply was lost was found by reading back.
    LostReplyFoundByReading,
    /// The fence stopped one batch or mutation three times or more.
    FenceRetriedThrice,
    /// A second attempt was answered by the receipt of the first.
    ReceiptAnsweredSecondAttempt,
    /// A script was unknown to the server in the middle of everything.
    NoScriptMet,
    /// A lock was no longer its holder's when the holder gave it back.
    LockGoneAtRelease,
    /// A late command was stopped by its fence.
    LateCommandRefused,
    /// A late command was stopped by the receipt of its mutation.
    LateCommandSettled,
    /// A mutation waited for the lock of a foreign writer.
    ForeignLockMet,
    /// A fault struck while an operation was open that ended so.
    During(FaultKind, End),
}

impl Mark {
    /// Every mark that a long enough run reaches.
    pub fn all() -> impl Iterator<Item = Self> {
        const ALONE: [Mark; 8] = [
            Mark::LostReplyFoundByReading,
            Mark::FenceRetriedThrice,
            Mark::ReceiptAnsweredSecondAttempt,
            Mark::NoScriptMet,
            Mark::LockGoneAtRelease,
            Mark::LateCommandRefused,
            Mark::LateCommandSettled,
            Mark::ForeignLockMet,
        ];
        let during = FaultKind::ALL.iter().flat_map(|kind| {
            [End::Ok, End::Fail, End::Unknown].map(|end| Mark::During(*kind, end))
        });
        ALONE.into_iter().chain(during)
    }
}

impl Mark {
    /// Whether worlds of these options meet it, given enough of them.
    #[must_use]
    pub fn is_reachable(self, options: &WorldOptions) -> bool {
        let struck = |class| options.faults.contains(&class);
        match self {
            Self::LostReplyFoundByReading => {
                options.workload.has_chain() && struck(FaultClass::Network)
            }
            Self::FenceRetriedThrice => true,
            Self::ReceiptAnsweredSecondAttempt | Self::LateCommandSettled => {
                options.workload.has_vault() && struck(FaultClass::Network)
            }
            Self::NoScriptMet => true,
            Self::LockGoneAtRelease => struck(FaultClass::Lock),
            Self::LateCommandRefused => struck(FaultClass::Network),
            Self::ForeignLockMet => options.workload.has_vault(),
            Self::During(kind, _) => struck(kind.class()),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::LostReplyFoundByReading => "lost_reply_found_by_reading",
            Self::FenceRetriedThrice => "fence_retried_thrice",
            Self::ReceiptAnsweredSecondAttempt => "receipt_answered_second_attempt",
            Self::NoScriptMet => "noscript_met",
            Self::LockGoneAtRelease => "lock_gone_at_release",
            Self::LateCommandRefused => "late_command_refused_by_fence",
            Self::LateCommandSettled => "late_command_settled_by_receipt",
            Self::ForeignLockMet => "foreign_lock_met",
            Self::During(kind, end) => {
                let end = match end {
                    End::Ok => "ok",
                    End::Fail => "fail",
                    End::Unknown => "unknown",
                };
                return write!(f, "{kind}_then_{end}");
            }
        };
        f.write_str(name)
    }
}

/// What was met, and how often.
pub type Marks = BTreeMap<Mark, u64>;

/// Notes what passes the server's side of a world.
#[derive(Default)]
pub(super) struct Watch {
    pub(super) marks: Marks,
    /// When each fault struck, in nanoseconds.
    strikes: BTreeMap<FaultKind, Vec<u64>>,
}

static RELEASE_CALL: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let call = Script::new(RELEASE).call(&[]);
    let sha1 = call.args_iter().nth(1);
    match sha1 {
        Some(redis::Arg::Simple(sha1)) => sha1.to_vec(),
        _ => Vec::new(),
    }
});

impl Watch {
    pub(super) fn struck(&mut self, kind: FaultKind, now: u64) {
        self.strikes.entry(kind).or_default().push(now);
    }

    /// A command ran; `late` if it was held back by a fault.
    pub(super) fn ran(&mut self, command: &Command, reply: &Reply, late: bool) {
        if !command.is("EVALSHA") {
            return;
        }
        let first = match reply {
            Reply::Array(parts) => parts.first(),
            _ => None,
        };
        let says = |word: &str| first == Some(&Reply::text(word));
        let mark = match reply {
            Reply::Error(text) if text.starts_with(b"NOSCRIPT") => Mark::NoScriptMet,
            Reply::Integer(0)
                if command
                    .words()
                    .get(1)
                    .is_some_and(|sha1| *sha1 == **RELEASE_CALL) =>
            {
                Mark::LockGoneAtRelease
            }
            _ if says("held") => Mark::ForeignLockMet,
            _ if late && says("conflict") => Mark::LateCommandRefused,
            _ if late && says("settled") => Mark::LateCommandSettled,
            _ => return,
        };
        self.met(mark);
    }

    fn met(&mut self, mark: Mark) {
        *self.marks.entry(mark).or_default() += 1;
    }

    /// Adds what only shows at the end.
    pub(super) fn close(
        mut self,
        history: &History,
        stats: &AuditStats,
        vault_stats: &VaultStats,
    ) -> Marks {
        if stats.settled_by_reading > 0 {
            self.met(Mark::LostReplyFoundByReading);
        }
        if stats.most_attempts.max(vault_stats.most_attempts) > 3 {
            self.met(Mark::FenceRetriedThrice);
        }
        if vault_stats.settled_by_receipt > 0 {
            self.met(Mark::ReceiptAnsweredSecondAttempt);
        }
        for operation in history.operations() {
            let end = match operation.outcome {
                Outcome::Open | Outcome::Unknown(_) => End::Unknown,
                Outcome::Failed => End::Fail,
                _ => End::Ok,
            };
            for (kind, times) in &self.strikes {
                let next = times.partition_point(|time| *time < operation.start);
                if times.get(next).is_some_and(|time| *time <= operation.end) {
                    *self.marks.entry(Mark::During(*kind, end)).or_default() += 1;
                }
            }
        }
        self.marks
    }
}
