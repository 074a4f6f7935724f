//! One line of a history, typed, over its kind of text: [`Text`] in a line, an
//! interned [`Symbol`](crate::Symbol) in a [`History`](crate::History).

use std::borrow::Cow;
use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{Symbol, tokens::TokenMap};

/// An operation's number, unique in its history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct OpId(pub u64);

impl fmt::Display for OpId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text, borrowed from its line where it has no escapes. (serde borrows a bare
/// `Cow` only as a member, not inside an `Option` or a `Vec`.)
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self(Cow::Borrowed(text))
    }
}

impl From<String> for Text<'_> {
    fn from(text: String) -> Self {
        Self(Cow::Owned(text))
    }
}

/// What an operation does; the name in a history's `f`.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    strum::IntoStaticStr,
    strum::VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Function {
    /// Append one event to the audit chain.
    Append,
    /// Read the whole audit chain.
    ReadChain,
    /// Change tokens of the vault.
    Mutate,
    /// Read the whole vault.
    Read,
    /// Store a plaintext under a token.
    Tokenize,
    /// Read the plaintext of one token.
    Reveal,
    /// Read the plaintexts of several tokens.
    Detokenize,
    /// Delete one token.
    Purge,
    /// Delete every token whose retention is over.
    PurgeExpired,
}

impl Function {
    /// The name in a history's `f`.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Whether the answer is the tokens read, stored or deleted, with their values.
    pub fn answers_tokens(self) -> bool {
        !matches!(self, Self::Append | Self::ReadChain | Self::Mutate)
    }

    /// Whether an audit record has to name each of its tokens.
    pub fn is_audited(self) -> bool {
        matches!(
            self,
            Self::Reveal | Self::Detokenize | Self::Purge | Self::PurgeExpired
        )
    }
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// How safe an acknowledged write was when it was acknowledged: `memory`,
/// `fsync` or `replicas:N`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Durability {
    /// In the memory of the primary.
    Memory,
    /// Written through to the primary's disk.
    Fsync,
    /// In the memory of at least that many replicas.
    Replicas(u32),
}

impl Durability {
    /// Whether it promises all that `least` does.
    pub fn includes(self, least: Self) -> bool {
        match (least, self) {
            (Self::Memory, _) | (Self::Fsync, Self::Fsync) => true,
            (Self::Replicas(least), Self::Replicas(count)) => count >= least,
            _ => false,
        }
    }
}

impl From<Durability> for String {
    fn from(durability: Durability) -> Self {
        match durability {
            Durability::Memory => "memory".to_owned(),
            Durability::Fsync => "fsync".to_owned(),
            Durability::Replicas(count) => format!("replicas:{count}"),
        }
    }
}

impl TryFrom<String> for Durability {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl FromStr for Durability {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "memory" => return Ok(Self::Memory),
            "fsync" => return Ok(Self::Fsync),
            _ => {}
        }
        let count = text.strip_prefix("replicas:");
        let count = count.and_then(|count| count.parse().ok());
        count
            .map(Self::Replicas)
            .ok_or_else(|| format!("durability is memory, fsync or replicas:N, not {text:?}"))
    }
}

/// Where an acknowledged append put its record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Appended<T = Symbol> {
    /// The record's position, counted from 1.
    pub sequence: u64,
    /// The record's event hash.
    pub event_hash: T,
    /// What the acknowledgement promised; nothing said is `memory`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
}

impl<T> Appended<T> {
    /// What the acknowledgement promised.
    pub fn durability(&self) -> Durability {
        self.durability.unwrap_or(Durability::Memory)
    }
}

/// Every record's event hash, in order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainRead<T = Symbol> {
    /// The hashes.
    pub hashes: Vec<T>,
}

/// What a vault mutation did, or tried to. `None` is an absent token (read) or a
/// delete (written).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Ord"))]
pub struct Mutation<T = Symbol> {
    /// What it read.
    pub reads: TokenMap<T, Option<T>>,
    /// What it wrote.
    pub writes: TokenMap<T, Option<T>>,
    /// The vault's version after it, where known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// What the acknowledgement promised.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<Durability>,
}

/// Tokens and their values: of a read, the whole vault.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Ord"))]
pub struct VaultRead<T = Symbol> {
    /// Every token and its value.
    pub tokens: TokenMap<T, T>,
    /// The live tokens among them that did not reveal.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub undecryptable: Vec<T>,
    /// The clocks by which that was decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clock: Option<Clock>,
}

/// The clocks that decide whether a token is past its end, in milliseconds since
/// the Unix epoch: the latest that each said while the operation was open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// The server's.
    pub server: u64,
    /// The process's own.
    pub own: u64,
}

/// How an operation ended. `C` is what a read of the chain returned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome<T, C = ChainRead<T>> {
    /// *ok*, of an append.
    Appended(Appended<T>),
    /// *ok*, of a read_chain.
    Chain(C),
    /// *ok*, of a mutate.
    Mutated(Mutation<T>),
    /// *ok*, of every other operation on the vault.
    Tokens(VaultRead<T>),
    /// *fail*: not applied, and never will be. Of a mutate: what it would have
    /// done, where that was decided; if it was applied all the same, that proves
    /// the failure wrong.
    Failed(Option<Mutation<T>>),
    /// *unknown*: may or may not have been applied, may still be. Of a mutate: what
    /// it would have done, where that was decided.
    Unknown(Option<Mutation<T>>),
}

impl<T, C> Outcome<T, C> {
    /// What a mutate did, or would have done.
    pub fn mutation(&self) -> Option<&Mutation<T>> {
        match self {
            Self::Mutated(mutation) => Some(mutation),
            Self::Failed(attempt) | Self::Unknown(attempt) => attempt.as_ref(),
            Self::Appended(_) | Self::Chain(_) | Self::Tokens(_) => None,
        }
    }

    /// Whether the operation is known to have been applied.
    pub fn is_ok(&self) -> bool {
        !matches!(self, Self::Failed(_) | Self::Unknown(_))
    }

    /// The wire's name: ok, fail or unknown.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Failed(_) => "fail",
            Self::Unknown(_) => "unknown",
            _ => "ok",
        }
    }
}

/// What an audit record attests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Audit<T = Symbol> {
    /// The operation, such as `token-vault:reveal`.
    pub operation: T,
    /// The tokens.
    pub tokens: Vec<T>,
    /// The call that wrote it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub op: Option<OpId>,
}

/// A record of the chain found at the end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ChainEntry<T = Symbol> {
    /// The append that the record's content came from, if it came from one.
    pub op: Option<OpId>,
    /// The position that the record itself states.
    pub sequence: u64,
    /// The event hash that the record states for its predecessor.
    pub previous_hash: Option<T>,
    /// The record's own event hash.
    pub event_hash: T,
    /// What it attests about the vault.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audit: Option<Audit<T>>,
}

/// The state found at the end; either half may be missing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Ord"))]
pub struct FinalState<T = Symbol> {
    /// The audit chain, in the order of the list.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub chain: Option<Vec<ChainEntry<T>>>,
    /// The vault's tokens and their values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<TokenMap<T, T>>,
    /// The vault's version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u64>,
    /// Audit records of the vault that are kept outside of this chain.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub audits: Vec<Audit<T>>,
    /// The records that accept a loss, those among them that were lost themselves.
    #[serde(default = "Vec::new", skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<AcceptedLoss<T>>,
}

/// A record of the chain that accepts a loss.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AcceptedLoss<T = Symbol> {
    /// The record's position.
    pub sequence: u64,
    /// Its event hash.
    pub event_hash: T,
    /// The first lost sequence.
    pub from: u64,
    /// The last one.
    pub to: u64,
    /// The hash of the last lost record.
    pub head_hash: T,
    /// Whether it was made under a key that processes share.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub keyed: bool,
}

/// A process begins with what it had seen before: of a file, for example.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knows<T = Symbol> {
    /// Since when.
    pub time: u64,
    /// Which process.
    pub process: T,
    /// What it had seen.
    #[serde(flatten)]
    pub what: Known<T>,
}

/// What a process begins with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Known<T = Symbol> {
    /// A record of the chain.
    #[serde(rename_all = "camelCase")]
    Record {
        /// Its position.
        sequence: u64,
        /// Its event hash.
        event_hash: T,
    },
    /// That a mutate was applied to the vault.
    Mutate {
        /// The mutate.
        op: OpId,
    },
}

/// A process goes on after losses, once the chain has a record that accepts them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accept<T = Symbol> {
    /// Since when.
    pub time: u64,
    /// Which process.
    pub process: T,
    /// The first and the last lost sequence; `None`: any loss, if the record was made under
    /// a key that processes share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lost: Option<(u64, u64)>,
}

/// Data that a fault took away.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(
    rename_all = "camelCase",
    bound(deserialize = "T: Deserialize<'de> + Default")
)]
pub struct Loss<T = Symbol> {
    /// When.
    pub time: u64,
    /// The fault's name, such as `failover`.
    #[serde(default)]
    pub fault: T,
    /// The event hash of every record that was lost, acknowledged or not.
    #[serde(default)]
    pub hashes: Vec<T>,
    /// The tokens whose last writes were lost.
    #[serde(default)]
    pub tokens: Vec<T>,
    /// The vault versions that were lost.
    #[serde(default)]
    pub versions: Vec<u64>,
    /// The durabilities that survive this fault, where its injector knows them;
    /// `replicas:2` includes all above it. `None`: by the fault's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub covered_by: Option<Vec<Durability>>,
    /// Who wrote what is lost, where that was a part of the processes only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<Split<T>>,
    /// Whether keys were lost one by one: the version did not go back together with the
    /// values, and counts on from any number; tokens that are not named are as they were.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub key_by_key: bool,
    /// The mutates under way that had been applied by then, and at which versions, where
    /// that is known; `None`: their versions decide, as far as they do. One may have been
    /// applied again since.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ops: Option<Vec<(OpId, u64)>>,
    /// Whether receipts of the vault were lost, by which processes know what they
    /// have done.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub receipts: bool,
}

impl<T> Loss<T> {
    /// When it began to make a difference to some process.
    pub fn begins(&self) -> u64 {
        self.split.as_ref().map_or(self.time, |split| split.since)
    }
}

/// Two servers took writes for a while, until those of one were lost.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de> + Default"))]
pub struct Split<T = Symbol> {
    /// Since when; until the loss.
    pub since: u64,
    /// The processes that this one served, and no other.
    pub processes: Vec<T>,
    /// Whether they went from this one to the other meanwhile, each at its own time: then
    /// `ops` of the loss are all mutates that were lost, ended or not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub moving: bool,
}

/// A process reports that what it had seen is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback<T = Symbol> {
    /// When.
    pub time: u64,
    /// Which process.
    pub process: T,
    /// What it had seen.
    #[serde(flatten)]
    pub seen: Seen<T>,
}

/// What a process had seen that is gone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Seen<T = Symbol> {
    /// A record of the chain.
    #[serde(rename_all = "camelCase")]
    Record {
        /// Its position.
        sequence: u64,
        /// Its event hash.
        event_hash: T,
    },
    /// A version of the vault.
    Version {
        /// The version.
        version: u64,
    },
}

/// An operation begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invoke<T> {
    /// When.
    pub time: u64,
    /// Which process.
    pub process: T,
    /// The operation.
    pub op: OpId,
    /// What it does.
    pub f: Function,
    /// Of an append: the event's `id`, for people.
    pub id: Option<T>,
    /// Whether the process follows the reference's protocol.
    pub foreign: bool,
}

/// An operation ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct End<T> {
    /// When.
    pub time: u64,
    /// The process that began it.
    pub process: T,
    /// The operation.
    pub op: OpId,
    /// How it ended.
    pub outcome: Outcome<T>,
    /// The error's text, for people.
    pub error: Option<T>,
}

/// One line of a history. Times are in nanoseconds from any one origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<T> {
    /// An operation begins.
    Invoke(Invoke<T>),
    /// An operation ends.
    End(End<T>),
    /// A fault took data.
    Loss(Loss<T>),
    /// A process reports that what it had seen is gone.
    Rollback(Rollback<T>),
    /// A process goes on after losses that are accepted.
    Accept(Accept<T>),
    /// A process begins with what it had seen before.
    Knows(Knows<T>),
    /// The state found at the end; the last line.
    Final(FinalState<T>),
}
