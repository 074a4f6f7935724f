//! What a checker says.

use std::fmt;
use std::str::FromStr;

use crate::OpId;

/// What must hold, by the name that reports use. A history shows most of them;
/// [`NoProgress`](Invariant::NoProgress), [`Leak`](Invariant::Leak) and
/// [`Nondeterminism`](Invariant::Nondeterminism) are judged by whoever ran the
/// store, who alone saw the clock, the server and both traces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// The chain's own hashes, sequences and links agree.
    ChainIntegrity,
    /// Two acknowledged records with one previous hash, or an acknowledged
    /// position held by another record.
    Fork,
    /// An acknowledged append that is not in the chain.
    LostAppend,
    /// One append, two records.
    DuplicateAppend,
    /// A record that nobody asked for, or whose append definitely failed.
    PhantomAppend,
    /// An append stands after one that began after its acknowledgement.
    RealtimeOrder,
    /// A read that misses, shrinks, rewrites or invents.
    StaleRead,
    /// An acknowledged vault write missing without a delete that explains it.
    LostToken,
    /// A deleted token that came back.
    ResurrectedToken,
    /// Some of one mutation's writes.
    PartialDiff,
    /// A mutation applied on top of state it did not read.
    StaleWrite,
    /// A live token that no longer reveals.
    UndecryptableToken,
    /// A replica that does not get on after the last fault healed.
    NoProgress,
    /// A process that had seen what is gone goes on writing without saying so.
    SilentRollback,
    /// An error said "not applied" of what was applied.
    WrongOutcome,
    /// Plaintext outside an envelope.
    Leak,
    /// One seed, two traces.
    Nondeterminism,
}

impl Invariant {
    /// Every invariant.
    pub const ALL: [Invariant; 17] = [
        Invariant::ChainIntegrity,
        Invariant::Fork,
        Invariant::LostAppend,
        Invariant::DuplicateAppend,
        Invariant::PhantomAppend,
        Invariant::RealtimeOrder,
        Invariant::StaleRead,
        Invariant::LostToken,
        Invariant::ResurrectedToken,
        Invariant::PartialDiff,
        Invariant::StaleWrite,
        Invariant::UndecryptableToken,
        Invariant::NoProgress,
        Invariant::SilentRollback,
        Invariant::WrongOutcome,
        Invariant::Leak,
        Invariant::Nondeterminism,
    ];

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        match self {
            Invariant::ChainIntegrity => "chain_integrity",
            Invariant::Fork => "fork",
            Invariant::LostAppend => "lost_append",
            Invariant::DuplicateAppend => "duplicate_append",
            Invariant::PhantomAppend => "phantom_append",
            Invariant::RealtimeOrder => "realtime_order",
            Invariant::StaleRead => "stale_read",
            Invariant::LostToken => "lost_token",
            Invariant::ResurrectedToken => "resurrected_token",
            Invariant::PartialDiff => "partial_diff",
            Invariant::StaleWrite => "stale_write",
            Invariant::UndecryptableToken => "undecryptable_token",
            Invariant::NoProgress => "no_progress",
            Invariant::SilentRollback => "silent_rollback",
            Invariant::WrongOutcome => "wrong_outcome",
            Invariant::Leak => "leak",
            Invariant::Nondeterminism => "nondeterminism",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Invariant {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let known = Self::ALL
            .into_iter()
            .find(|invariant| invariant.name() == name);
        known.ok_or_else(|| format!("{name:?} is not the name of an invariant"))
    }
}

impl serde::Serialize for Invariant {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Violation {
    /// What does not hold.
    pub invariant: Invariant,
    /// The operations that show it, the one to blame first.
    pub ops: Vec<OpId>,
    /// Why, in a sentence.
    pub reason: String,
}

/// What a checker found. The order of violations is the same at every run.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    /// Everything that does not hold; nothing if all does.
    pub violations: Vec<Violation>,
}

impl Verdict {
    /// Whether everything holds.
    pub fn is_ok(&self) -> bool {
        self.violations.is_empty()
    }

    /// `ok` or `violation`.
    pub fn name(&self) -> &'static str {
        if self.is_ok() { "ok" } else { "violation" }
    }
}

impl serde::Serialize for Verdict {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeStruct;
        let mut verdict = serializer.serialize_struct("Verdict", 2)?;
        verdict.serialize_field("verdict", self.name())?;
        verdict.serialize_field("violations", &self.violations)?;
        verdict.end()
    }
}
