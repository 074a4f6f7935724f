//! Receipts of mutations: their names and positions, what a process has observed of them,
//! and the handles by which they are found again.
//!
//! It does not depend on tokens, nor on how a vault is stored.

use std::fmt;

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};

use super::clocks::ServerTime;
use crate::clock::{epoch_micros, from_epoch_micros};

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

/// The position of a receipt among all. A vault that has it has all receipts before it: a
/// mutation that is sent again after a rollback may get the number that it had before, after
/// other receipts, but gets another time. No protection against forgery.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReceiptPosition {
    /// The mutation.
    pub mutation: MutationId,
    /// The receipt's number.
    pub seq: ReceiptSeq,
    /// When it was first written, in whole microseconds.
    pub written: ServerTime,
}

/// In handles: `{mutation}.{number}.{written}`.
impl fmt::Display for ReceiptPosition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let written = epoch_micros(self.written.get());
        write!(f, "{}.{}.{written}", self.mutation, self.seq.get())
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
/// `{mutation}.{begun}.{version}`, followed by `.{newestReceipt}.{itsNumber}.{itsTime}`
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
     .{{newestReceipt}}.{{itsNumber}}.{{itsTime}} unless there was none"
)]
pub struct InvalidReceiptHandle;

impl std::str::FromStr for ReceiptHandle {
    type Err = InvalidReceiptHandle;

    fn from_str(text: &str) -> Result<Self, InvalidReceiptHandle> {
        let parts: Vec<_> = text.split('.').collect();
        let handle = match parts[..] {
            [mutation, begun, version] => receipt_handle(mutation, begun, version, None),
            [mutation, begun, version, newest, number, written] => {
                receipt_handle(mutation, begun, version, Some((newest, number, written)))
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
        Some((newest, number, written)) => Some(ReceiptPosition {
            mutation: MutationId::parse(newest)?,
            seq: ReceiptSeq::new(number.parse().ok()?),
            written: ServerTime::new(from_epoch_micros(written.parse().ok()?)),
        }),
    };
    Some(ReceiptHandle {
        mutation: MutationId::parse(mutation)?,
        begun: ReceiptSeq::new(begun.parse().ok()?),
        version: Version::new(version.parse().ok()?),
        newest,
    })
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
            written: ServerTime::new(from_epoch_micros(2)),
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
