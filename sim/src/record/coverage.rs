//! Coverage marks: situations that a long run must reach. A run reports those
//! that it did not reach.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::LazyLock,
};

use bytes::Bytes;
use haechi_history::{Durability, Function, History, Known, Loss, OpId, Outcome, Rollback, Seen};
use haechi_store_redis::{
    audit::AuditStats,
    redis::script::{CONFIRM, RELEASE, VAULT_CONFIRM},
    vault::VaultStats,
};
use redis_sim::{Command, Reply};
use strum::{IntoStaticStr, VariantArray};

use super::commands::sha1;
use crate::plan::{FaultClass, FaultKind, LossFault, ServerFault, WorldOptions, fnv1a};

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Ending {
    /// Applied, or answered.
    Ok,
    /// Not applied.
    Fail,
    /// Open.
    Unknown,
}

/// A situation that is not bound to a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Situation {
    /// A batch whose reply was lost was found by reading back.
    LostReplyFoundByReading,
    /// The fence stopped one batch or mutation three times or more.
    FenceRetriedThrice,
    /// A second attempt was answered by the receipt of the first.
    ReceiptAnsweredSecondAttempt,
    /// A script was unknown to the server although it had been loaded.
    NoscriptMet,
    /// A lock had another holder, or none, when its holder released it.
    LockGoneAtRelease,
    /// A late command was stopped by its fence.
    LateCommandRefusedByFence,
    /// A late command was stopped by the receipt of its mutation.
    LateCommandSettledByReceipt,
    /// A late command was refused because the receipt of its mutation could be gone.
    LateCommandWithoutReceipt,
    /// A mutation had nothing to do once an attempt of it could have been applied.
    NothingToDoAfterLostReply,
    /// A write of unknown outcome was found out, by any process, to be applied.
    FoundApplied,
    /// A write of unknown outcome was found out to be not applied.
    FoundNotApplied,
    /// A write of unknown outcome was found to be still open.
    FoundOpen,
    /// A mutation waited for the lock of a foreign writer.
    ForeignLockMet,
    /// An append ended as applied, its anchor missing, while a fault held up the medium.
    AppliedWhileMediumHeld,
    /// An anchor that was said to be missing was written later.
    MissingAnchorWrittenLater,
    /// Anchors follow a line of which a crash or a full medium has left a part.
    AnchorAfterTornLine,
    /// A fault took data, and nothing whose acknowledgement promised more.
    DurableWritesKept,
    /// A write was acknowledged as applied, but not as durable as asked.
    NotYetDurable,
    /// A write was to be confirmed, and was asked for again on another connection.
    ConfirmedAfterReconnect,
    /// A vault of ten thousand tokens or more was read at one moment.
    LargeVaultRead,
    /// A scan of a vault went on after its first slice.
    ScanContinued,
    /// A node to which a slot moves ran a script, behind ASKING.
    AskFollowed,
    /// A script was refused because the keys of its slot were on two nodes.
    SlotSplitMet,
    /// Nobody served the slot.
    ClusterDownMet,
    /// A primary took writes after another one was promoted.
    DeposedPrimaryWrote,
    /// An operator accepted a loss of the chain.
    LossAccepted,
    /// A process accepted a loss of the vault, as an operator asked it to.
    VaultLossAccepted,
    /// An operator found the keys of the chain to disagree, and repaired them.
    ChainRepaired,
    /// A process that began with what it had seen found that it is gone since before.
    LossFoundAfterRestart,
    /// The same, of the vault.
    VaultLossFoundAfterRestart,
    /// A process that had said that records are gone went on, as shared keys accept that.
    WentOnBySharedKeys,
    /// A process was restarted with what it had seen, and went on, as its loss was accepted.
    WentOnByAcceptance,
}

/// A coverage mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Mark {
    /// A situation.
    Met(Situation),
    /// A fault struck during an operation that ended so.
    During(FaultKind, Ending),
    /// A fault of this class struck during this operation, which ended so.
    Crossed(Function, Ending, FaultClass),
}

impl Mark {
    /// Every mark that a long enough run reaches.
    pub fn all() -> impl Iterator<Item = Self> {
        let situations = Situation::VARIANTS.iter().copied().map(Self::Met);
        let endings = |kind| {
            Ending::VARIANTS
                .iter()
                .map(move |ending| Self::During(kind, *ending))
        };
        let crossed = Function::VARIANTS.iter().flat_map(|f| {
            Ending::VARIANTS.iter().flat_map(move |ending| {
                let classes = FaultClass::VARIANTS.iter();
                classes.map(move |class| Self::Crossed(*f, *ending, *class))
            })
        });
        situations
            .chain(FaultKind::all().flat_map(endings))
            .chain(crossed)
    }

    /// Whether enough worlds with these options reach it.
    #[must_use]
    pub fn is_reachable(self, options: &WorldOptions) -> bool {
        let has = |class: FaultClass| class.kinds().all(|kind| options.faults.contains(&kind));
        let situation = match self {
            Self::During(kind, _) => {
                return options.has(kind)
                    && (options.workload.has_chain() || !kind.strikes_anchors());
            }
            Self::Crossed(f, ending, class) => {
                let (is_drawn, only_reads) = match f {
                    Function::Append => (options.workload.has_chain(), false),
                    Function::ReadChain => (options.workload.has_chain(), true),
                    Function::Mutate
                    | Function::Tokenize
                    | Function::Purge
                    | Function::PurgeExpired => (options.workload.has_vault(), false),
                    Function::Read | Function::Reveal | Function::Detokenize => {
                        (options.workload.has_vault(), true)
                    }
                };
                // A read is unknown only where its process died or its caller left.
                let mut is_rare = only_reads && ending == Ending::Unknown;
                // Its token or its record is lost, or what its process had seen.
                is_rare |= class == FaultClass::DataLoss
                    && matches!(
                        (f, ending),
                        (Function::Reveal, Ending::Ok) | (Function::Purge, Ending::Unknown)
                    );
                return is_drawn && !is_rare && has(class);
            }
            Self::Met(situation) => situation,
        };
        match situation {
            Situation::LostReplyFoundByReading => {
                options.workload.has_chain() && has(FaultClass::Network)
            }
            Situation::ReceiptAnsweredSecondAttempt
            | Situation::LateCommandSettledByReceipt
            | Situation::LateCommandWithoutReceipt
            | Situation::NothingToDoAfterLostReply => {
                options.workload.has_vault() && has(FaultClass::Network)
            }
            Situation::AskFollowed | Situation::SlotSplitMet => {
                options.has(ServerFault::SlotMigration.into())
            }
            Situation::ClusterDownMet => options.has(LossFault::ClusterFailover.into()),
            Situation::DeposedPrimaryWrote => options.has(LossFault::SentinelFailover.into()),
            Situation::FenceRetriedThrice | Situation::NoscriptMet => true,
            Situation::LockGoneAtRelease => has(FaultClass::Lock),
            Situation::LateCommandRefusedByFence
            | Situation::FoundApplied
            | Situation::FoundNotApplied
            | Situation::FoundOpen => has(FaultClass::Network),
            Situation::ForeignLockMet | Situation::LargeVaultRead | Situation::ScanContinued => {
                options.workload.has_vault()
            }
            Situation::AppliedWhileMediumHeld
            | Situation::MissingAnchorWrittenLater
            | Situation::AnchorAfterTornLine => {
                options.workload.has_chain() && has(FaultClass::Replica)
            }
            Situation::LossAccepted
            | Situation::LossFoundAfterRestart
            | Situation::ChainRepaired
            | Situation::WentOnBySharedKeys
            | Situation::WentOnByAcceptance => {
                options.workload.has_chain() && has(FaultClass::DataLoss)
            }
            Situation::VaultLossAccepted | Situation::VaultLossFoundAfterRestart => {
                options.workload.has_chain()
                    && options.workload.has_vault()
                    && has(FaultClass::DataLoss)
            }
            Situation::DurableWritesKept => options.durability && has(FaultClass::DataLoss),
            Situation::NotYetDurable => options.durability && has(FaultClass::Network),
            Situation::ConfirmedAfterReconnect => options.durability && has(FaultClass::Network),
        }
    }
}

impl fmt::Display for Mark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Met(situation) => f.write_str(situation.into()),
            Self::During(kind, ending) => {
                write!(f, "{kind}_then_{}", <&str>::from(ending))
            }
            Self::Crossed(function, ending, class) => {
                let (class, ending): (&str, &str) = (class.into(), ending.into());
                let function = function.name();
                write!(f, "{class}_fault_in_{function}_then_{ending}")
            }
        }
    }
}

/// The marks reached, and how often.
pub type Marks = BTreeMap<Mark, u64>;

/// Records the marks of one world.
#[derive(Default)]
pub(crate) struct CoverageRecorder {
    marks: Marks,
    /// When each fault struck, in nanoseconds.
    strikes: BTreeMap<FaultKind, Vec<u64>>,
    /// On which connection each replica confirmed which writes last.
    confirmed: BTreeMap<(usize, u64), u64>,
}

static RELEASE_CALL: LazyLock<Vec<u8>> = LazyLock::new(|| sha1(RELEASE));
static CONFIRM_CALLS: LazyLock<[Vec<u8>; 2]> = LazyLock::new(|| [CONFIRM, VAULT_CONFIRM].map(sha1));

/// Whether a page of a scan is the last one.
fn says_end(page: &Reply) -> bool {
    let Reply::Array(parts) = page else {
        return false;
    };
    parts.get(1) == Some(&Reply::text("0"))
}

impl CoverageRecorder {
    pub(crate) fn struck(&mut self, kind: FaultKind, now: u64) {
        self.strikes.entry(kind).or_default().push(now);
    }

    /// A command of a replica arrives on a connection.
    pub(crate) fn arrives(&mut self, replica: usize, connection: u64, command: &Command) {
        let words = command.words();
        let is_confirm = |sha1: &Bytes| CONFIRM_CALLS.iter().any(|call| **sha1 == **call);
        if !command.is("EVALSHA") || !words.get(1).is_some_and(is_confirm) {
            return;
        }
        let writes = (replica, fnv1a(&words.concat()));
        let before = self.confirmed.insert(writes, connection);
        if before.is_some_and(|before| before != connection) {
            self.met(Situation::ConfirmedAfterReconnect);
        }
    }

    /// A command ran; `late` if it was delayed by a fault.
    pub(crate) fn ran(&mut self, command: &Command, reply: &Reply, late: bool) {
        match reply {
            Reply::Error(text) if text.starts_with(b"CLUSTERDOWN") => {
                self.met(Situation::ClusterDownMet);
            }
            Reply::Error(text) if text.starts_with(b"TRYAGAIN") => {
                self.met(Situation::SlotSplitMet);
            }
            _ => {}
        }
        if !command.is("EVALSHA") {
            return;
        }
        let first = match reply {
            Reply::Array(parts) => parts.first(),
            _ => None,
        };
        let says = |word: &str| first == Some(&Reply::text(word));
        let situation = match reply {
            Reply::Error(text) if text.starts_with(b"NOSCRIPT") => Situation::NoscriptMet,
            Reply::Integer(0)
                if command
                    .words()
                    .get(1)
                    .is_some_and(|sha1| *sha1 == **RELEASE_CALL) =>
            {
                Situation::LockGoneAtRelease
            }
            _ if says("page") && !says_end(reply) => Situation::ScanContinued,
            _ if says("held") => Situation::ForeignLockMet,
            _ if late && says("conflict") => Situation::LateCommandRefusedByFence,
            _ if late && says("settled") => Situation::LateCommandSettledByReceipt,
            _ if late && says("forgotten") => Situation::LateCommandWithoutReceipt,
            _ => return,
        };
        self.met(situation);
    }

    pub(crate) fn met(&mut self, situation: Situation) {
        *self.marks.entry(Mark::Met(situation)).or_default() += 1;
    }

    /// The faults that struck within this time, in nanoseconds.
    pub(crate) fn struck_within(
        &self,
        start: u64,
        end: u64,
    ) -> impl Iterator<Item = FaultKind> + '_ {
        let strikes = self.strikes.iter();
        strikes.filter_map(move |(kind, times)| {
            let next = times.partition_point(|time| *time < start);
            times.get(next).filter(|time| **time <= end).map(|_| *kind)
        })
    }

    /// Adds the marks that are known only at the end.
    pub(crate) fn close(
        mut self,
        history: &History,
        called: &BTreeMap<OpId, Function>,
        situations: &[Situation],
        stats: &AuditStats,
        vault_stats: &VaultStats,
    ) -> Marks {
        if stats.settled_by_reading > 0 {
            self.met(Situation::LostReplyFoundByReading);
        }
        if stats.most_attempts.max(vault_stats.most_attempts) > 3 {
            self.met(Situation::FenceRetriedThrice);
        }
        if vault_stats.settled_by_receipt > 0 {
            self.met(Situation::ReceiptAnsweredSecondAttempt);
        }
        for situation in situations {
            self.met(*situation);
        }
        if stats.not_yet_durable + vault_stats.not_yet_durable > 0 {
            self.met(Situation::NotYetDurable);
        }
        if keeps_durable_writes(history) {
            self.met(Situation::DurableWritesKept);
        }
        for situation in went_on(history)
            .into_iter()
            .chain(found_after_restart(history))
        {
            self.met(situation);
        }
        for operation in history.operations() {
            let ending = match operation.outcome {
                Outcome::Unknown(_) => Ending::Unknown,
                Outcome::Failed(_) => Ending::Fail,
                _ => Ending::Ok,
            };
            let f = called.get(&operation.id).copied().unwrap_or(operation.f);
            let mut marks = BTreeSet::new();
            for kind in self.struck_within(operation.start, operation.end) {
                marks.insert(Mark::During(kind, ending));
                // One of no length is what a call did besides its mutation.
                if operation.start < operation.end {
                    marks.insert(Mark::Crossed(f, ending, kind.class()));
                }
            }
            for mark in marks {
                *self.marks.entry(mark).or_default() += 1;
            }
        }
        self.marks
    }
}

/// How processes went on after losses that were accepted.
fn went_on(history: &History) -> Vec<Situation> {
    let accepts = history.accepts().iter();
    let met = accepts.filter_map(|accept| {
        let mut reports = history.rollbacks().iter();
        let (situation, since) = match accept.lost {
            Some(_) => (Situation::WentOnByAcceptance, accept.time),
            None => {
                let said = reports.find(|rollback| {
                    rollback.process == accept.process
                        && matches!(rollback.seen, Seen::Record { .. })
                })?;
                (Situation::WentOnBySharedKeys, said.time)
            }
        };
        let mut appends = history.operations().iter();
        let went_on = appends.any(|append| {
            append.process == accept.process && append.start > since && append.appended().is_some()
        });
        went_on.then_some(situation)
    });
    met.collect()
}

/// The losses of what a process began with, found although they were before that.
fn found_after_restart(history: &History) -> impl Iterator<Item = Situation> {
    history.known().iter().filter_map(|known| {
        let losses = history.losses();
        let mut before = losses.iter().filter(|loss| loss.time < known.time);
        let told = history.rollbacks().iter();
        let mut told = told.filter(|told| told.process == known.process);
        let (is_met, situation) = match known.what {
            Known::Record { event_hash, .. } => {
                let is_same = |told: &Rollback| match told.seen {
                    Seen::Record {
                        event_hash: gone, ..
                    } => gone == event_hash,
                    Seen::Version { .. } => false,
                };
                let is_met =
                    before.any(|loss| loss.hashes.contains(&event_hash)) && told.any(is_same);
                (is_met, Situation::LossFoundAfterRestart)
            }
            Known::Mutate { .. } => {
                let none_since = |told: &Rollback| {
                    let is_later =
                        |loss: &Loss| loss.time >= known.time && loss.begins() <= told.time;
                    matches!(told.seen, Seen::Version { .. }) && !losses.iter().any(is_later)
                };
                let is_met = before.any(|loss| !loss.versions.is_empty()) && told.any(none_since);
                (is_met, Situation::VaultLossFoundAfterRestart)
            }
        };
        is_met.then_some(situation)
    })
}

/// Whether a loss took something after an acknowledgement that promises to survive it;
/// that it took what was acknowledged so would be a violation.
fn keeps_durable_writes(history: &History) -> bool {
    let acknowledged = |operation: &haechi_history::Operation| match &operation.outcome {
        Outcome::Appended(appended) => appended.durability,
        Outcome::Mutated(mutation) => mutation.durability,
        _ => None,
    };
    history.losses().iter().any(|loss| {
        let covers = |durability: Durability| {
            let covered_by = loss.covered_by.iter().flatten();
            durability != Durability::Memory
                && covered_by.copied().any(|least| durability.includes(least))
        };
        history.operations().iter().any(|operation| {
            operation.end <= loss.time && acknowledged(operation).is_some_and(covers)
        })
    })
}
