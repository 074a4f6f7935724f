//! The vault's reference model: the semantics of the store's Lua in Rust:
//! fences on values and on the version, a limited number of receipts, and the
//! comparison with what a process has observed.
//!
//! `haechi_sim::fuzzing::diff_apply` compares its answers with the Lua's.

use std::{collections::BTreeMap, time::SystemTime};

use crate::{
    error::{AttemptError, Corrupt},
    vault::{
        MutationId, Stored, TokenId, Version,
        store::{
            self, Applied, Attempt, Change, Diff, Due, Fate, Fence, Load, Loaded, Moved, Observed,
            Page, ReceiptPosition, ReceiptSeq, ServerTime,
        },
    },
};

/// Receipts that the store keeps.
const KEPT: u64 = 10_000;

/// The content of a vault's keys; each method is one atomic step of a server. It has
/// no clock: its answers' `server_time` is the epoch, and so is when receipts were written.
#[derive(Clone, Debug)]
pub struct VaultModel {
    tokens: BTreeMap<TokenId, Stored>,
    version: u64,
    /// How often this store has changed the version.
    own: u64,
    receipts: BTreeMap<MutationId, Receipt>,
    /// The number of the next receipt.
    next: u64,
    /// The receipt of each number that is kept: its mutation has it still, or another.
    numbers: BTreeMap<u64, ReceiptPosition>,
    newest: Option<ReceiptPosition>,
    kept: u64,
}

/// The receipt of a mutation.
#[derive(Clone, Copy, Debug)]
enum Receipt {
    /// The mutation will be fenced on the whole vault at this version.
    Open { version: u64, seq: u64 },
    /// It has ended.
    Ended { fate: Fate, seq: u64 },
}

impl Receipt {
    fn seq(self) -> u64 {
        match self {
            Self::Open { seq, .. } | Self::Ended { seq, .. } => seq,
        }
    }
}

impl Default for VaultModel {
    fn default() -> Self {
        Self::keeping(KEPT)
    }
}

impl VaultModel {
    /// An empty vault that keeps this number of receipts, at least one.
    #[must_use]
    pub fn keeping(receipts: u64) -> Self {
        Self {
            tokens: BTreeMap::new(),
            version: 0,
            own: 0,
            receipts: BTreeMap::new(),
            next: 0,
            numbers: BTreeMap::new(),
            newest: None,
            kept: receipts.max(1),
        }
    }

    /// The tokens and their values.
    #[must_use]
    pub fn tokens(&self) -> &BTreeMap<TokenId, Stored> {
        &self.tokens
    }

    /// The number of mutations so far.
    #[must_use]
    pub fn version(&self) -> Version {
        Version::new(self.version)
    }

    /// How the mutation ended, if its receipt is still kept.
    #[must_use]
    pub fn fate(&self, mutation: MutationId) -> Option<Fate> {
        match self.receipts.get(&mutation)? {
            Receipt::Open { .. } => None,
            Receipt::Ended { fate, .. } => Some(*fate),
        }
    }

    /// The number of the next receipt.
    #[must_use]
    pub fn next_receipt(&self) -> ReceiptSeq {
        ReceiptSeq::new(self.next)
    }

    /// The lowest number of the receipts that are kept.
    #[must_use]
    pub fn oldest_receipt(&self) -> ReceiptSeq {
        ReceiptSeq::new(self.next.saturating_sub(self.kept))
    }

    /// The error for a process that has observed more than there is.
    #[must_use]
    pub fn rolled_back(&self, observed: &Observed) -> AttemptError {
        AttemptError::Corrupt(Corrupt::VaultRolledBack {
            prefix: String::new(),
            seen: observed.version.get(),
            met: self.version,
        })
    }

    /// Removes the receipt of a mutation, as no correct store does.
    pub fn forget(&mut self, mutation: MutationId) {
        self.receipts.remove(&mutation);
    }

    /// A mutation of a replica that follows the whole-snapshot protocol and
    /// changes only tokens and version.
    pub fn mutate_foreign(&mut self, diff: &Diff) {
        self.change(diff);
        self.version += 1;
    }

    /// Reads tokens. With an intent, the mutation's receipt is opened.
    ///
    /// # Errors
    ///
    /// When more was observed than there is.
    pub fn load(&mut self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        self.check_observed(observed)?;
        let (mut begun, newest) = (self.next, self.newest);
        let mut loaded = match what {
            Load::Some(tokens) => self.loaded(tokens.iter()),
            Load::All { intent } => {
                if let Some(mutation) = intent {
                    begun = match self.receipts.get(&mutation) {
                        Some(ended @ Receipt::Ended { .. }) => ended.seq(),
                        _ => {
                            let version = self.version;
                            let open = |receipt: ReceiptPosition| Receipt::Open {
                                version,
                                seq: receipt.seq.get(),
                            };
                            self.write_receipt(mutation, open).seq.get()
                        }
                    };
                }
                self.loaded(self.tokens.keys())
            }
        };
        loaded.receipt_seq = ReceiptSeq::new(begun);
        loaded.newest = newest;
        Ok(loaded)
    }

    /// Compare-and-apply.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn apply(
        &mut self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        if let Some(fate) = self.fate(attempt.mutation) {
            return Ok(Applied::Settled(fate));
        }
        self.check_observed(observed)?;
        if attempt.begun > self.next_receipt() {
            return Err(self.rolled_back(observed));
        }
        if attempt.begun < self.oldest_receipt() {
            return Ok(Applied::ReceiptExpired);
        }
        if let Some(moved) = self.moved(attempt) {
            return Ok(Applied::Conflict {
                moved,
                now: self.loaded(attempt.read.keys()),
            });
        }
        self.change(attempt.diff);
        self.version += 1;
        self.own += 1;
        let version = self.version();
        let receipt = self.write_receipt(attempt.mutation, |receipt| Receipt::Ended {
            fate: Fate::Applied {
                version,
                number: attempt.number,
                receipt: Some(receipt),
            },
            seq: receipt.seq.get(),
        });
        Ok(Applied::Committed { version, receipt })
    }

    /// What a mutation's receipt says.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn receipt(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<store::Receipt, AttemptError> {
        if let Some(fate) = self.fate(mutation) {
            return Ok(store::Receipt::Ended(fate));
        }
        self.check_observed(observed)?;
        if begun > self.next_receipt() {
            return Err(self.rolled_back(observed));
        }
        Ok(match begun < self.oldest_receipt() {
            true => store::Receipt::Expired,
            false => store::Receipt::Open,
        })
    }

    /// Ends a mutation; `None` if its outcome is no longer known.
    ///
    /// # Errors
    ///
    /// As for [`load`](Self::load).
    pub fn settle(
        &mut self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        match self.receipt(mutation, begun, observed)? {
            store::Receipt::Ended(fate) => return Ok(Some(fate)),
            store::Receipt::Expired => return Ok(None),
            store::Receipt::Open => {}
        }
        self.write_receipt(mutation, |receipt| Receipt::Ended {
            fate: Fate::Dropped,
            seq: receipt.seq.get(),
        });
        Ok(Some(Fate::Dropped))
    }

    /// Tokens that have expired by `now`, the longest expired first.
    #[must_use]
    pub fn due(&self, now: SystemTime, limit: usize) -> Due {
        let mut due: Vec<_> = self
            .tokens
            .iter()
            .filter_map(|(token, value)| {
                let expires = Change::Set(value.clone()).expires_at()?;
                (expires <= now).then(|| (expires, token.clone()))
            })
            .collect();
        due.sort();
        due.truncate(limit);
        Due {
            tokens: due.into_iter().map(|(_, token)| token).collect(),
            disputed: 0,
            is_whole: true,
            drift: self.version - self.own,
        }
    }

    /// The tokens from index `cursor` on.
    #[must_use]
    pub fn scan(&self, cursor: u64, count: usize) -> Page {
        let start = usize::try_from(cursor).unwrap_or(usize::MAX);
        let tokens: Vec<_> = self
            .tokens
            .iter()
            .skip(start)
            .take(count.max(1))
            .map(|(token, value)| (token.clone(), value.clone()))
            .collect();
        let next = start.saturating_add(tokens.len());
        Page {
            cursor: if next < self.tokens.len() {
                next as u64
            } else {
                0
            },
            tokens,
            unnameable: Vec::new(),
            server_time: ServerTime::default(),
        }
    }

    fn loaded<'a>(&self, tokens: impl Iterator<Item = &'a TokenId>) -> Loaded {
        Loaded {
            version: self.version(),
            receipt_seq: self.next_receipt(),
            newest: self.newest,
            server_time: ServerTime::default(),
            tokens: tokens
                .map(|token| (token.clone(), self.tokens.get(token).cloned()))
                .collect(),
            unnameable: Vec::new(),
        }
    }

    /// Refuses a process that has observed more than there is.
    fn check_observed(&self, observed: &Observed) -> Result<(), AttemptError> {
        let lacks = |seen: ReceiptPosition| {
            let is_kept = seen.seq >= self.oldest_receipt();
            let stands = self.numbers.get(&seen.seq.get()) == Some(&seen);
            seen.seq >= self.next_receipt() || (is_kept && !stands)
        };
        if observed.receipts.into_iter().flatten().any(lacks) || self.version() < observed.version {
            return Err(self.rolled_back(observed));
        }
        Ok(())
    }

    /// What changed since the attempt's fence.
    fn moved(&self, attempt: &Attempt<'_>) -> Option<Moved> {
        if let Fence::Snapshot(fence) = attempt.fence {
            let opened = match self.receipts.get(&attempt.mutation) {
                Some(Receipt::Open { version, .. }) => Some(*version),
                _ => None,
            };
            if fence != self.version() || opened != Some(fence.get()) {
                return Some(Moved::Version);
            }
        }
        let mut read = attempt.read.iter();
        read.any(|(token, value)| self.tokens.get(token) != value.as_ref())
            .then_some(Moved::Value)
    }

    fn change(&mut self, diff: &Diff) {
        for (token, change) in diff {
            match change {
                Change::Set(value) => self.tokens.insert(token.clone(), value.clone()),
                Change::Delete => self.tokens.remove(token),
            };
        }
    }

    /// Writes a receipt and returns its position; the oldest one that is kept goes. The
    /// receipt of a mutation that ends gets a new number.
    fn write_receipt(
        &mut self,
        mutation: MutationId,
        receipt: impl Fn(ReceiptPosition) -> Receipt,
    ) -> ReceiptPosition {
        let open = self.receipts.get(&mutation).map(|open| open.seq());
        let opened = open.and_then(|seq| self.numbers.get(&seq).copied());
        if let Some(opened) = opened
            && let again @ Receipt::Open { .. } = receipt(opened)
        {
            self.receipts.insert(mutation, again);
            return opened;
        }
        if let Some(oldest) = self.next.checked_sub(self.kept)
            && let Some(gone) = self.numbers.remove(&oldest)
            && self
                .receipts
                .get(&gone.mutation)
                .map(|receipt| receipt.seq())
                == Some(oldest)
        {
            self.receipts.remove(&gone.mutation);
        }
        let position = ReceiptPosition {
            mutation,
            seq: self.next_receipt(),
            written: ServerTime::default(),
        };
        self.numbers.insert(self.next, position);
        self.newest = Some(position);
        self.next += 1;
        self.receipts.insert(mutation, receipt(position));
        position
    }
}
