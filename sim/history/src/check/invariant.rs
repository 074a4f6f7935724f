//! The one table of invariants: names, halves and descriptions, for the enum,
//! parsing, reports and documents.

/// Which half of the store an invariant is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// The audit chain.
    Chain,
    /// The token vault.
    Vault,
    /// Either of them.
    Either,
}

macro_rules! invariants {
    ($($name:ident $half:ident $description:literal,)*) => {
        /// What must hold, by the name that reports use. A history shows most of them;
        /// [`NoProgress`](Invariant::NoProgress),
        /// [`QualityOfService`](Invariant::QualityOfService),
        /// [`DeposedWrite`](Invariant::DeposedWrite), [`Leak`](Invariant::Leak) and
        /// [`Nondeterminism`](Invariant::Nondeterminism) are checked by the harness, which
        /// has the clock, the server and both traces.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[derive(serde::Serialize)]
        #[derive(strum::Display, strum::EnumString, strum::IntoStaticStr, strum::VariantArray)]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case", parse_err_ty = String, parse_err_fn = unknown)]
        #[non_exhaustive]
        pub enum Invariant {
            $(#[doc = $description] $name,)*
        }

        impl Invariant {
            /// What a violation of it is, in a line.
            pub fn describe(self) -> &'static str {
                match self { $(Invariant::$name => $description,)* }
            }

            /// Which half of the store it is about.
            pub fn half(self) -> Half {
                match self { $(Invariant::$name => Half::$half,)* }
            }
        }
    };
}

invariants! {
    ChainIntegrity     Chain  "the chain's hashes, sequences and links do not agree",
    Fork               Chain  "two acknowledged records have one previous hash, or an acknowledged position holds another record",
    LostAppend         Chain  "an acknowledged append is not in the chain",
    DuplicateAppend    Chain  "one append has two records",
    PhantomAppend      Chain  "a record was never asked for, or its append definitely failed",
    RealtimeOrder      Chain  "an append is later in the chain than one that began after its acknowledgement",
    StaleRead          Either "a read misses what was acknowledged, or shows what was not there",
    LostToken          Vault  "an acknowledged write is missing, and no delete explains it",
    ResurrectedToken   Vault  "a deleted token came back",
    PartialDiff        Vault  "some of one mutation's writes, not all",
    StaleWrite         Vault  "a mutation was applied on top of state that it did not read",
    UndecryptableToken Vault  "a live token no longer reveals",
    Unaudited          Vault  "a token was revealed, restored or purged, and no audit record says so",
    WrongPlaintext     Vault  "a token reveals what was not tokenized under it",
    EarlyPurge         Vault  "a token was purged as expired before its end by the clocks that rule",
    NoProgress         Either "a replica gets nothing done after the last fault ended",
    FalseRollback      Either "a process reports a rollback of what is still there",
    SilentRollback     Either "a process that had seen what is gone goes on writing without saying so",
    DeposedWrite       Either "a process writes to a primary of which it had time to hear from Sentinel that it is deposed",
    WrongOutcome       Either "an error said \"not applied\" of what was applied",
    QualityOfService   Either "callers are told unknown, or attempts, conflicts or locks are more than faults explain",
    Overload           Either "nothing but load, and a caller is told unknown, waits past its deadline, is starved while later ones are served, waits with more bytes than the bound, or its reply is given up",
    Leak               Vault  "plaintext outside an envelope",
    Nondeterminism     Either "one seed, two traces",
}

impl Invariant {
    /// Every invariant, in the order of the table.
    pub const ALL: &'static [Invariant] = <Invariant as strum::VariantArray>::VARIANTS;

    /// The name that reports use.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

fn unknown(name: &str) -> String {
    format!("{name:?} is not the name of an invariant")
}
