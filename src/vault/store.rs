//! The trait `VaultStore`: what a mutation needs from the storage of tokens.
//!
//! Redis, memory, models and stores with planted bugs are driven by the same
//! code. A store does not depend on plaintexts, keys or retention.

use std::{collections::BTreeMap, fmt, future::Future, time::SystemTime};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::token::{Stored, TokenId};
use crate::{
    durability::{Durability, DurabilityStatus},
    error::AttemptError,
};

pub use super::{
    clocks::ServerTime,
    diff::{Change, Diff},
};

/// The number of mutations of the vault so far, foreign ones included: the
/// fence of the whole-snapshot protocol. Zero before the first.
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
/// mutation carries the next number at its begin, by which the vault decides
/// whether the mutation's receipt would still be kept.
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

/// The identity of one mutation, shared by all its attempts.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MutationId([u8; 16]);

impl MutationId {
    /// The identity with these random bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The identity in a receipt's name; `None` for any other text.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }
}

/// The form in receipts: base64url without padding, 22 characters.
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

/// A digest of a receipt, as it was first written, and of all before it. It tells two
/// vaults apart that other mutations were lost from, and is no protection against forgery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct ReceiptDigest([u8; 16]);

impl ReceiptDigest {
    /// The digest with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The digest in this text, 32 hexadecimal digits; `None` for any other.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = |byte: &u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(byte);
        if text.len() != 32 || !text.bytes().all(|byte| digits(&byte)) {
            return None;
        }
        u128::from_str_radix(text, 16)
            .ok()
            .map(|bits| Self(bits.to_be_bytes()))
    }
}

/// The form in receipts: 32 hexadecimal digits.
impl fmt::Display for ReceiptDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for ReceiptDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReceiptDigest({self})")
    }
}

/// The position of a receipt among all. A vault that has it has all receipts before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptPosition {
    /// The mutation.
    pub mutation: MutationId,
    /// The receipt's number.
    pub seq: ReceiptSeq,
    /// What it and the receipts before it were.
    pub digest: ReceiptDigest,
}

/// In handles: `{mutation}.{number}.{digest}`.
impl fmt::Display for ReceiptPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.mutation, self.seq.get(), self.digest)
    }
}

/// What a process has seen of the vault, sent with every request: a vault that
/// lacks some of it was rolled back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// The highest version seen.
    pub version: Version,
    /// Receipts seen, of any process, in the order in which they were: each one until an
    /// answer has shown a later one that came after it.
    pub receipts: [Option<ReceiptPosition>; Self::RECEIPTS],
}

impl Observed {
    /// Answers to requests that were under way together do not tell which of them came
    /// first: the first and the highest are looked for, not those between.
    const RECEIPTS: usize = 2;

    /// The highest receipt that was seen.
    #[must_use]
    pub fn newest(&self) -> Option<ReceiptPosition> {
        let seen = self.receipts.into_iter().flatten();
        seen.max_by_key(|seen| seen.seq)
    }

    pub(crate) fn of(version: Version, seen: impl IntoIterator<Item = ReceiptPosition>) -> Self {
        let mut receipts = [None; Self::RECEIPTS];
        receipts
            .iter_mut()
            .zip(seen)
            .for_each(|(place, seen)| *place = Some(seen));
        Self { version, receipts }
    }

    /// What the answer to a request that was sent with `sent` adds: that version, and its
    /// newest receipt, before which are all of those in `sent`.
    pub(crate) fn saw(&mut self, version: Version, newest: Option<ReceiptPosition>, sent: &Self) {
        let mut seen: Vec<_> = self.receipts.into_iter().flatten().collect();
        if let Some(newest) = newest {
            let is_before = |seen: &ReceiptPosition| sent.receipts.contains(&Some(*seen));
            seen.retain(|seen| !is_before(seen) && *seen != newest);
            seen.push(newest);
            if seen.len() > Self::RECEIPTS {
                // The first one stays until it was looked for.
                let lowest = (1..seen.len()).min_by_key(|place| seen[*place].seq);
                lowest.map(|place| seen.remove(place));
            }
        }
        *self = Self::of(self.version.max(version), seen);
    }
}

/// Identifies a mutation, and tells since when its receipt is to be found: all that
/// [`resolve`](super::resolve) needs, in any process.
///
/// Its text form, which `haechi-store` prints and reads, is
/// `{mutation}.{begun}.{version}`, followed by `.{newestReceipt}.{itsNumber}.{itsDigest}`
/// unless the vault had none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptHandle {
    /// The mutation; its receipt has this name.
    pub mutation: MutationId,
    /// The number of the next receipt when it began.
    pub begun: ReceiptSeq,
    /// The version that its process has seen.
    pub version: Version,
    /// The newest receipt that its process has seen: without that, the vault was rolled
    /// back.
    pub newest: Option<ReceiptPosition>,
}

impl ReceiptHandle {
    pub(crate) fn new(mutation: MutationId, begun: ReceiptSeq, observed: &Observed) -> Self {
        Self {
            mutation,
            begun,
            version: observed.version,
            newest: observed.newest(),
        }
    }

    /// What its process has seen.
    #[must_use]
    pub fn observed(&self) -> Observed {
        Observed::of(self.version, self.newest)
    }
}

impl fmt::Display for ReceiptHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            mutation,
            begun,
            version,
            newest,
        } = self;
        write!(f, "{mutation}.{}.{version}", begun.get())?;
        newest.map_or(Ok(()), |newest| write!(f, ".{newest}"))
    }
}

/// A text that is not a [`ReceiptHandle`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not the handle of a receipt; expected {{mutation}}.{{begun}}.{{version}}, followed by \
     .{{newestReceipt}}.{{itsNumber}}.{{itsDigest}} unless there was none"
)]
pub struct InvalidReceiptHandle;

impl std::str::FromStr for ReceiptHandle {
    type Err = InvalidReceiptHandle;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptHandle> {
        let parts: Vec<_> = text.split('.').collect();
        let handle = match parts[..] {
            [mutation, begun, version] => receipt_handle(mutation, begun, version, None),
            [mutation, begun, version, newest, number, digest] => {
                receipt_handle(mutation, begun, version, Some((newest, number, digest)))
            }
            _ => None,
        };
        handle.ok_or(InvalidReceiptHandle)
    }
}

fn receipt_handle(
    mutation: &str,
    begun: &str,
    version: &str,
    newest: Option<(&str, &str, &str)>,
) -> Option<ReceiptHandle> {
    let newest = match newest {
        None => None,
        Some((newest, number, digest)) => Some(ReceiptPosition {
            mutation: MutationId::parse(newest)?,
            seq: ReceiptSeq::new(number.parse().ok()?),
            digest: ReceiptDigest::parse(digest)?,
        }),
    };
    Some(ReceiptHandle {
        mutation: MutationId::parse(mutation)?,
        begun: ReceiptSeq::new(begun.parse().ok()?),
        version: Version::new(version.parse().ok()?),
        newest,
    })
}

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch what was seen and is forgotten although no answer has included it, above
    /// all the highest receipt and the first one; and what is looked for again and again.
    #[test]
    fn a_receipt_is_looked_for_until_an_answer_includes_it() {
        let receipt = |seq| ReceiptPosition {
            mutation: MutationId::from_bytes([1; 16]),
            seq: ReceiptSeq::new(seq),
            digest: ReceiptDigest::from_bytes([2; 16]),
        };
        let after = |seqs: &[u64]| {
            let mut observed = Observed::default();
            for seq in seqs {
                observed.saw(
                    Version::new(*seq),
                    Some(receipt(*seq)),
                    &Observed::default(),
                );
            }
            let seen = observed.receipts.into_iter().flatten();
            let seen: Vec<_> = seen.map(|seen| seen.seq.get()).collect();
            (seen, observed)
        };
        for (answers, looked_for) in [
            (&[1, 2][..], &[1, 2][..]),
            (&[1, 2, 1], &[2, 1]),
            (&[1, 2, 3, 4, 5], &[1, 5]),
            (&[7, 1, 2, 9, 8, 3, 4], &[7, 9]),
        ] {
            let (seen, observed) = after(answers);
            assert_eq!(seen, looked_for, "{answers:?}");
            let highest = answers.iter().max().copied().map(receipt);
            assert_eq!(observed.newest(), highest);
            assert_eq!(Some(observed.version.get()), answers.iter().max().copied());
        }
        let (_, sent) = after(&[1, 2]);
        let (_, mut observed) = after(&[1, 2, 3]);
        observed.saw(Version::new(4), None, &sent);
        assert_eq!(observed.receipts.into_iter().flatten().count(), 2);
        observed.saw(Version::new(4), Some(receipt(4)), &sent);
        let left = [Some(receipt(3)), Some(receipt(4))];
        assert_eq!(observed.receipts, left);
    }
}
