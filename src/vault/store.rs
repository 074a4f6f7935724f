//! The trait `VaultStore`: what a mutation needs from the storage of tokens.
//!
//! Redis, memory, models and stores with planted bugs are driven by the same
//! code. A store does not depend on plaintexts, keys or retention.

use std::{collections::BTreeMap, future::Future, time::SystemTime};

use super::token::{Stored, TokenId};
use crate::{
    durability::{Durability, DurabilityStatus},
    error::AttemptError,
    health::Health,
};

pub use super::{
    clocks::ServerTime,
    diff::{Change, Diff},
    receipt::{
        InvalidReceiptHandle, MutationId, Observed, ReceiptHandle, ReceiptPosition, ReceiptSeq,
        Version,
    },
};

/// What to read.
#[derive(Clone, Copy, Debug)]
pub enum Load<'a> {
    /// These tokens.
    Some(&'a [TokenId]),
    /// Every token. O(tokens), also in Redis.
    All {
        /// The mutation that will be fenced on the whole vault as read now;
        /// `None` to read only.
        intent: Option<MutationId>,
    },
}

/// Tokens at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Loaded {
    /// The version at that moment.
    pub version: Version,
    /// The number of the next receipt, which a mutation that begins now
    /// carries.
    pub receipt_seq: ReceiptSeq,
    /// The newest receipt at that moment.
    pub newest: Option<ReceiptPosition>,
    /// The server's time at that moment.
    pub server_time: ServerTime,
    /// The requested and the existing tokens; `None`: absent.
    pub tokens: BTreeMap<TokenId, Option<Stored>>,
    /// Fields of the hash whose name is not a token's, as far as it can be
    /// shown.
    pub unnameable: Vec<String>,
}

/// The condition under which a diff is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fence {
    /// Every token that was read still has the same value, or is absent.
    Values,
    /// There was no mutation since the whole vault was read at this version.
    Snapshot(Version),
}

/// Which foreign lock the store still has to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignLockWait<'a> {
    /// Any, except the holder that outlasted an earlier wait.
    Respects {
        /// That holder's token.
        outlived: Option<&'a [u8]>,
    },
    /// None: the mutation has waited long enough.
    Exhausted,
}

/// One attempt to apply a mutation.
#[derive(Clone, Copy, Debug)]
pub struct Attempt<'a> {
    /// The mutation, which is applied at most once.
    pub mutation: MutationId,
    /// Distinguishes the mutation's attempts.
    pub number: u32,
    /// The next number when the *mutation* began, not this attempt.
    pub begun: ReceiptSeq,
    /// The fence.
    pub fence: Fence,
    /// The tokens that the diff depends on, as they were read.
    pub read: &'a BTreeMap<TokenId, Option<Stored>>,
    /// At least one change.
    pub diff: &'a Diff,
    /// Whether to wait for a foreign lock.
    pub foreign_lock_wait: ForeignLockWait<'a>,
}

/// What changed since a mutation read it.
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
        /// The new version.
        version: Version,
        /// Its receipt.
        receipt: ReceiptPosition,
    },
    /// The fence did not match; nothing was changed.
    Conflict {
        /// What changed.
        moved: Moved,
        /// The tokens that were read, as they are now.
        now: Loaded,
    },
    /// A foreign replica has the lock; nothing was changed.
    ForeignLocked {
        /// The lock's token.
        holder: Vec<u8>,
    },
    /// The mutation had ended before: by another attempt, or dropped.
    Settled(Fate),
    /// The outcome of earlier attempts is no longer known; this one changed
    /// nothing.
    ReceiptExpired,
}

/// The outcome of a mutation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// One of its attempts was applied.
    Applied {
        /// The new version.
        version: Version,
        /// Which attempt.
        number: u32,
        /// Its receipt; `None` if it was written by an earlier version of the scripts.
        receipt: Option<ReceiptPosition>,
    },
    /// None was applied, and none will be.
    Dropped,
}

/// What a mutation's receipt says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// It has ended.
    Ended(Fate),
    /// It has not: an attempt can still be applied.
    Open,
    /// Nothing: if there was one, it may no longer be kept.
    Expired,
}

/// Tokens that may have expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Due {
    /// The longest expired first.
    pub tokens: Vec<TokenId>,
    /// How many more are expired by one of the clocks only.
    pub disputed: u64,
    /// Whether the index contains every token; if not, it has to be rebuilt.
    pub is_whole: bool,
    /// The drift to store with a rebuilt index.
    pub drift: u64,
}

/// A slice of all tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The begin of the next slice; zero after the last one.
    pub cursor: u64,
    /// Tokens and their values, in no particular order.
    pub tokens: Vec<(TokenId, Stored)>,
    /// Fields whose name is not a token's, as far as it can be shown.
    pub unnameable: Vec<String>,
    /// The server's time when it was read.
    pub server_time: ServerTime,
}

/// A token to index, if it still has the value that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Indexed {
    /// The token.
    pub token: TokenId,
    /// The value that was read.
    pub read: Option<Stored>,
    /// When it expires, in milliseconds; `None` removes it from the index.
    pub expires: Option<SystemTime>,
}

/// The storage of one vault, shared with other writers.
///
/// An implementation promises that [`apply`](VaultStore::apply) is atomic and
/// fenced, and applies no mutation twice.
pub trait VaultStore: Send + Sync + 'static {
    /// The lease while a mutation runs; see [`VaultStore::lease`].
    type Lease: Send;

    /// The name of the tokens' hash in errors.
    fn tokens_key(&self) -> &str;

    /// Reads tokens at one moment.
    ///
    /// # Errors
    ///
    /// [`AttemptError`]; a read has no effect.
    fn load(
        &self,
        what: Load<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Loaded, AttemptError>> + Send;

    /// Applies the attempt's diff if its fence matches.
    ///
    /// # Errors
    ///
    /// [`AttemptError`] tells what this attempt alone can have done.
    fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> impl Future<Output = Result<Applied, AttemptError>> + Send;

    /// Finds out how a mutation ended, and drops it if it has not; `None` if
    /// that is no longer known.
    ///
    /// # Errors
    ///
    /// As for [`apply`](VaultStore::apply); it can be repeated.
    fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Option<Fate>, AttemptError>> + Send;

    /// Finds out how a mutation ended, and changes nothing.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn receipt(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> impl Future<Output = Result<Receipt, AttemptError>> + Send;

    /// At most `limit` tokens that are expired according to the index, by the
    /// server's clock and by the caller's, which says `own`.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn due(
        &self,
        own: SystemTime,
        limit: usize,
    ) -> impl Future<Output = Result<Due, AttemptError>> + Send;

    /// Corrects the index for tokens that have the value that was read; with
    /// `whole`, a drift, also marks it as complete.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load): the index is advisory.
    fn index(
        &self,
        tokens: &[Indexed],
        whole: Option<u64>,
    ) -> impl Future<Output = Result<(), AttemptError>> + Send;

    /// About `count` tokens from `cursor` on, which starts at zero. Every token
    /// that exists from the first slice to the last is in one of them, or in
    /// two.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn scan(
        &self,
        cursor: u64,
        count: usize,
    ) -> impl Future<Output = Result<Page, AttemptError>> + Send;

    /// How durable a mutation must be before it counts as done. Unless it is
    /// [`Durability::Memory`], the default, [`confirm`](Self::confirm) is called for
    /// those that were applied.
    fn durability(&self) -> Durability {
        Durability::Memory
    }

    /// What is known of the connection beside what attempts show.
    fn health(&self) -> Health {
        Health::Serving
    }

    /// Whether each of these mutations, which were applied, is as durable as asked.
    /// Finds out first that its receipt is there: another server may have become the
    /// primary since. By default they are.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn confirm(
        &self,
        mutations: &[MutationId],
    ) -> impl Future<Output = Result<Vec<DurabilityStatus>, AttemptError>> + Send {
        std::future::ready(Ok(vec![DurabilityStatus::AsAsked; mutations.len()]))
    }

    /// As [`confirm`](Self::confirm), of a mutation that was dropped. By default it is.
    ///
    /// # Errors
    ///
    /// As for [`load`](VaultStore::load).
    fn confirm_dropped(
        &self,
        mutation: MutationId,
    ) -> impl Future<Output = Result<DurabilityStatus, AttemptError>> + Send {
        let _ = mutation;
        std::future::ready(Ok(DurabilityStatus::AsAsked))
    }

    /// Tries to keep other writers away while a mutation runs. It only reduces
    /// contention.
    fn lease(&self) -> impl Future<Output = Self::Lease> + Send;

    /// Releases a lease.
    fn release(&self, lease: Self::Lease) -> impl Future<Output = ()> + Send;
}
