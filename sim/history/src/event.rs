//! One line of a history, typed. Texts are borrowed from the line where they can be.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// An operation's number, unique in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What an operation asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Function {
    /// Append one event to the audit chain.
    Append,
    /// Read the whole audit chain.
    ReadChain,
    /// Change tokens of the vault.
    Mutate,
    /// Read the whole vault.
    Read,
}

impl Function {
    /// The name in a history's `f`.
    pub fn name(self) -> &'static str {
        match self {
            Function::Append => "append",
            Function::ReadChain => "read_chain",
            Function::Mutate => "mutate",
            Function::Read => "read",
        }
    }

    /// The function of that name.
    pub fn named(name: &str) -> Option<Function> {
        [
            Function::Append,
            Function::ReadChain,
            Function::Mutate,
            Function::Read,
        ]
        .into_iter()
        .find(|function| function.name() == name)
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How safe an acknowledged write was when it was acknowledged: `memory`,
/// `fsync` or `replicas:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Durability {
    /// In the memory of the primary.
    Memory,
    /// Written through to the primary's disk.
    Fsync,
    /// In the memory of at least that many replicas.
    Replicas(u32),
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Durability::Memory => f.write_str("memory"),
            Durability::Fsync => f.write_str("fsync"),
            Durability::Replicas(count) => write!(f, "replicas:{count}"),
        }
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => return Ok(Durability::Memory),
            "fsync" => return Ok(Durability::Fsync),
            _ => {}
        }
        let count = text
            .strip_prefix("replicas:")
            .and_then(|count| count.parse().ok());
        count
            .map(Durability::Replicas)
            .ok_or_else(|| format!("durability is memory, fsync or replicas:N, and not {text:?}"))
    }
}

/// The tokens a mutation read or wrote, and their values; `None` is an absent
/// token (read) or a delete (written).
pub type TokenValues<'a> = Vec<(Cow<'a, str>, Option<Cow<'a, str>>)>;

/// What a vault mutation did, or tried to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mutation<'a> {
    /// What it read.
    pub reads: TokenValues<'a>,
    /// What it wrote.
    pub writes: TokenValues<'a>,
    /// The vault's version after it, where known.
    pub version: Option<u64>,
    /// What the acknowledgement promised.
    pub durability: Option<Durability>,
}

/// The value of an operation that ended *ok*.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer<'a> {
    /// Of an append: where the record stands.
    Appended {
        /// The record's position, counted from 1.
        sequence: u64,
        /// The record's event hash.
        event_hash: Cow<'a, str>,
        /// What the acknowledgement promised; nothing said is `memory`.
        durability: Option<Durability>,
    },
    /// Of a read_chain: every record's event hash, in order.
    Chain(Vec<Cow<'a, str>>),
    /// Of a mutate.
    Mutated(Mutation<'a>),
    /// Of a read: the whole vault.
    Tokens {
        /// Every token and its value.
        tokens: Vec<(Cow<'a, str>, Cow<'a, str>)>,
        /// The live tokens among them that did not reveal.
        undecryptable: Vec<Cow<'a, str>>,
    },
}

/// How an operation ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End<'a> {
    /// Applied, with this answer.
    Ok(Answer<'a>),
    /// Certainly not applied, ever.
    Fail {
        /// The error's text, for people.
        error: Option<Cow<'a, str>>,
    },
    /// May or may not have been applied, may still be.
    Unknown {
        /// The error's text, for people.
        error: Option<Cow<'a, str>>,
        /// Of a mutate: what it would have done, where that was decided.
        mutation: Option<Mutation<'a>>,
    },
}

/// A record of the chain found at the end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChainEntry<'a> {
    /// The append that the record's content came from, if it came from one.
    pub op: Option<OpId>,
    /// The position that the record itself states.
    pub sequence: u64,
    /// The event hash that the record states for its predecessor.
    pub previous_hash: Option<Cow<'a, str>>,
    /// The record's own event hash.
    pub event_hash: Cow<'a, str>,
}

/// The state found at the end; either half may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FinalState<'a> {
    /// The audit chain, in the order of the list.
    pub chain: Option<Vec<ChainEntry<'a>>>,
    /// The vault's tokens and their values.
    pub tokens: Option<Vec<(Cow<'a, str>, Cow<'a, str>)>>,
    /// The vault's version.
    pub version: Option<u64>,
}

/// Data that a fault took away.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loss<'a> {
    /// The fault's name, such as `failover`.
    pub fault: Cow<'a, str>,
    /// The event hash of every record that went, acknowledged or not.
    pub hashes: Vec<Cow<'a, str>>,
    /// The tokens whose last writes went.
    pub tokens: Vec<Cow<'a, str>>,
    /// The vault versions that went.
    pub versions: Vec<u64>,
    /// Which durabilities would have survived this fault, where whoever injected
    /// it can tell; `replicas:2` stands for two replicas or more. `None` leaves
    /// the judgement to the fault's name.
    pub covered_by: Option<Vec<Durability>>,
}

/// One line of a history. Times are in nanoseconds from any one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// An operation begins.
    Invoke {
        /// When.
        time: u64,
        /// Who.
        process: Cow<'a, str>,
        /// Which.
        op: OpId,
        /// What it asks for.
        f: Function,
        /// Of an append: the event's `id`, for people.
        id: Option<Cow<'a, str>>,
        /// Whether the process follows the reference's protocol.
        foreign: bool,
    },
    /// An operation ends.
    End {
        /// When.
        time: u64,
        /// Who; the process that began it.
        process: Cow<'a, str>,
        /// Which.
        op: OpId,
        /// How.
        end: End<'a>,
        /// Of a mutate that failed: what it would have done, where that was
        /// decided. Seen all the same, it proves the failure wrong.
        attempt: Option<Mutation<'a>>,
    },
    /// A fault took acknowledged data.
    Loss {
        /// When.
        time: u64,
        /// What went.
        loss: Loss<'a>,
    },
    /// A process says that what it had seen is gone.
    Rollback {
        /// When.
        time: u64,
        /// Who.
        process: Cow<'a, str>,
        /// The position it had seen.
        sequence: u64,
        /// The event hash it had seen there.
        event_hash: Cow<'a, str>,
    },
    /// A process says that the version of the vault it had seen is gone.
    VaultRollback {
        /// When.
        time: u64,
        /// Who.
        process: Cow<'a, str>,
        /// The version it had seen.
        version: u64,
    },
    /// The state found at the end; the last line.
    Final(FinalState<'a>),
}
