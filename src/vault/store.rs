//! The trait `VaultStore`: what a mutation needs from the storage of tokens.
//!
//! One trait, so that Redis, memory, a model checker's fake and a deliberately
//! broken store are all driven by the same loop. It must not know of
//! plaintexts, keys or retention.

use std::{collections::BTreeMap, fmt, future::Future, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::token::{Stored, TokenId};
use crate::error::AttemptError;

pub use super::diff::{Change, Diff};

/// How many mutations the vault has taken, foreign ones included: the fence
/// of the whole-snapshot protocol. Zero before the first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

impl Version {
    /// The version after `mutations`.
    #[must_use]
    pub fn new(mutations: u64) -> Self {
        Self(mutations)
    }

    /// The count.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The sequence number of a receipt: how many were written before it. A
/// mutation carries the number that was next when it began; by it the vault
/// tells whether the mutation's receipt would still be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptSeq(u64);

impl ReceiptSeq {
    /// The number after `receipts`.
    #[must_use]
    pub fn new(receipts: u64) -> Self {
        Self(receipts)
    }

    /// The count.
    #[must_use]
    pub fn get(self) -> u64 {
        self.0
    }
}

/// The identity of one mutation, whatever the number of its attempts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MutationId([u8; 16]);

impl MutationId {
    /// The identity made of these random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The identity that a receipt's name tells; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// As receipts name it: base64url without padding, 22 characters.
impl fmt::Display for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.0))
    }
}

impl fmt::Debug for MutationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MutationId({self})")
    }
}

/// What a process has seen of the vault, sent along with every request: a
/// vault that lacks some of it was rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The highest version met.
    pub version: Version,
    /// The newest receipt met, of whatever process.
    pub receipt: Option<(MutationId, ReceiptSeq)>,
}

/// What to read.
#[derive(Clone, Copy, Debug)]
pub enum Load<'a> {
    /// These tokens.
    Some(&'a [TokenId]),
    /// Every token. O(tokens), also in Redis.
    All {
        /// The mutation that will be fenced on the whole vault as it is read
        /// now; `None` to read only.
        intent: Option<MutationId>,
    },
}

/// Tokens as they stood at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The version at that moment.
    pub version: Version,
    /// The number of the next receipt: what a mutation that begins now carries.
    pub receipt_seq: ReceiptSeq,
    /// The newest receipt at that moment, and its number.
    pub newest: Option<(MutationId, ReceiptSeq)>,
    /// The tokens that were asked for and those that stand; `None`: absent.
    pub tokens: BTreeMap<TokenId, Option<Stored>>,
    /// Fields of the hash whose name is no token's, as far as it can be shown.
    pub unnameable: Vec<String>,
}

/// What still has to be so when a diff is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Every token that was read has the value that was read, or is absent.
    Values,
    /// No mutation at all since the whole vault was read at this version.
    Snapshot(Version),
}

/// Which foreign lock the store still has to respect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignLockWait<'a> {
    /// Any, except the holder that was waited for in vain before.
    Respects {
        /// That holder's token.
        outlived: Option<&'a [u8]>,
    },
    /// None: it has waited long enough.
    Exhausted,
}

/// One try at applying a mutation.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// Whose attempt it is: a mutation is applied at most once.
    pub mutation: MutationId,
    /// Tells the mutation's attempts apart.
    pub number: u32,
    /// The number that was next when the *mutation* began, not this attempt.
    pub begun: ReceiptSeq,
    /// What must not have changed.
    pub fence: Fence,
    /// The tokens the diff depends on, as they were read.
    pub read: &'a BTreeMap<TokenId, Option<Stored>>,
    /// At least one change.
    pub diff: &'a Diff,
    /// Whether to wait for a foreign lock.
    pub foreign_lock_wait: ForeignLockWait<'a>,
}

/// What moved under a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moved {
    /// A token that it had read.
    Value,
    /// The vault's version, on which it was fenced.
    Version,
}

/// The answer to an attempt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Applied {
    /// This attempt was applied.
    Committed {
        /// The version that it made.
        version: Version,
        /// Its receipt.
        receipt_seq: ReceiptSeq,
    },
    /// The fence stopped it; it changed nothing.
    Conflict {
        /// What moved.
        moved: Moved,
        /// What was read, as it stands now.
        now: Loaded,
    },
    /// A foreign replica holds the lock; it changed nothing.
    ForeignLocked {
        /// The lock's token.
        holder: Vec<u8>,
    },
    /// The mutation had ended before, by another attempt or for good.
    Settled(Fate),
    /// Nobody can tell any more what became of earlier attempts; this one
    /// changed nothing.
    ReceiptExpired,
}

/// How a mutation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// One of its attempts was applied.
    Applied {
        /// The version that it made.
        version: Version,
        /// Which attempt.
        number: u32,
        /// Its receipt.
        receipt_seq: ReceiptSeq,
    },
    /// None was, and none will be.
    Dropped,
}

/// Tokens that may have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The longest expired first.
    pub tokens: Vec<TokenId>,
    /// Whether the index knows every token; if not, it has to be built anew.
    pub is_whole: bool,
    /// By which the index tells later whether it was built since.
    pub drift: u64,
}

/// A slice of all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// Where the next slice begins; zero after the last one.
    pub cursor: u64,
    /// Tokens and what is stored for them, in no order.
    pub tokens: Vec<(TokenId, Stored)>,
    /// Fields whose name is no token's, as far as it can be shown.
    pub unnameable: Vec<String>,
}

/// A token that is to be indexed, if it still stands as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// The token.
    pub token: TokenId,
    /// What was read.
    pub read: Option<Stored>,
    /// When it expires, to the millisecond; `None` leaves it out of the index.
    pub expires: Option<SystemTime>,
}

/// A place that holds one vault, shared with other writers.
///
/// An implementation promises that [`apply`](VaultStore::apply) is atomic and
/// fenced, and applies no mutation twice.
pub trait VaultStore: Send + Sync + 'static {
    /// What is held while a mutation runs; see [`VaultStore::lease`].
    type Lease: Send;

    /// How errors name the hash that holds the tokens.
    fn tokens_key(&self) -> &str;

    /// Reads tokens as they stand at one moment.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]; a read has no effect to doubt.
    fn load(
        &self,
        what: Load<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Loaded, AttemptError>> + Send;

    /// Applies the attempt's diff if its fence permits.
    ///
    /// # Errors
    ///
    /// [`AttemptError`] tells what this attempt, and this attempt alone, can
    /// have done.
    fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Applied, AttemptError>> + Send;

    /// Finds out how a mutation ended, and ends it if it has not; `None` if
    /// nobody can tell any more.
    ///
    /// # Errors
    ///
    /// As for [`apply`](VaultStore::apply); asking again is safe.
    fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Option<Fate>, AttemptError>> + Send;

    /// At most `limit` tokens that the index holds to have expired by `now`.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn due(
        &self,
        now: SystemTime,
        limit: usize,
    ) -> impl Future<Output = Result<Due, AttemptError>> + Send;

    /// Corrects the index for tokens that stand as they were read; with
    /// `whole`, a drift, also notes that it now lacks nothing.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load): the index is advisory.
    fn index(
        &self,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> impl Future<Output = Result<(), AttemptError>> + Send;

    /// About `count` tokens from `cursor` on; zero begins. Every token that
    /// stands from the first slice to the last is in one of them; one may be
    /// in two.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn scan(
        &self,
        cursor: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page, AttemptError>> + Send;

    /// Asks other writers to stay away while a mutation runs. It lowers
    /// contention and nothing else.
    fn lease(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Gives a lease back.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
}
