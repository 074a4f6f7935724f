//! A vault that replicas share, each of its commands one atomic step, after
//! the store's Lua: the values' fence, receipts of which so many are kept, and
//! what a process has seen held against what is there. One reply may be lost,
//! one attempt may come late, and the lock lapses.
//!
//! It must not know how mutations are driven. What is broken in it is named by
//! a [`Flaw`], and nothing else is.

use std::{collections::BTreeMap, future::pending, time::SystemTime};

use haechi_store_redis::{
    AttemptError, Cause, Corrupt,
    vault::{
        MutationId, Stored, TokenId, Version,
        store::{
            Applied, Attempt, Change, Diff, Due, Fate, Indexed, Load, Loaded, Moved, Observed,
            Page, ReceiptSeq, VaultStore,
        },
    },
};
use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Waits for the lock and trusts it: the fence is not looked at.
    TrustsLock,
    /// A mutation's receipt is written, and not looked at when it is applied.
    IgnoresReceipts,
    /// A lost reply is reported as a refusal.
    LossIsRefusal,
    /// A mutation is said to be dropped without a receipt that says so.
    NoTombstone,
    /// A mutation whose receipt may have been replaced is applied.
    NothingIsForgotten,
    /// A receipt that is no longer kept counts as lost.
    ForgetsTrimming,
}

/// What becomes of a replica's first attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    /// It is answered.
    Answered,
    /// It runs, and its reply is lost.
    ReplyLost,
    /// It is on its way for as long as it likes, see [`Vault::deliver`], and
    /// its sender is told that the connection broke.
    Late,
    /// As [`First::Late`], but its sender hears nothing.
    LateAndSilent,
    /// As [`First::Late`], and every further attempt is denied: say, because
    /// the permission to write was taken away.
    LateThenDenied,
    /// As [`First::ReplyLost`], and every further attempt is denied.
    LostThenDenied,
    /// Denied, and every further attempt too.
    Denied,
}

/// The server.
pub(crate) struct Vault {
    state: Mutex<State>,
    unlocked: Condvar,
    flaw: Flaw,
    /// Receipts kept.
    kept: u64,
}

#[derive(Default)]
struct State {
    tokens: BTreeMap<TokenId, Stored>,
    version: u64,
    next_receipt_seq: u64,
    receipts: BTreeMap<MutationId, Fate>,
    places: BTreeMap<u64, MutationId>,
    lock: Option<u8>,
    adrift: Option<Adrift>,
}

/// An attempt, as it was sent.
struct Adrift {
    mutation: MutationId,
    number: u32,
    begun: ReceiptSeq,
    read: BTreeMap<TokenId, Option<Stored>>,
    diff: Diff,
    observed: Observed,
}

impl Adrift {
    fn copy(attempt: &Attempt<'_>, observed: &Observed) -> Self {
        Self {
            mutation: attempt.mutation,
            number: attempt.number,
            begun: attempt.begun,
            read: attempt.read.clone(),
            diff: attempt.diff.clone(),
            observed: *observed,
        }
    }
}

impl Vault {
    pub(crate) fn new(flaw: Flaw, kept: u64) -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State::default()),
            unlocked: Condvar::new(),
            flaw,
            kept,
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whoever holds the lock does no longer.
    pub(crate) fn lapse(&self) {
        self.state().lock = None;
        self.unlocked.notify_all();
    }

    /// The attempt that was on its way arrives, if it has been sent. Whether
    /// it has been.
    pub(crate) fn deliver(&self) -> bool {
        let mut state = self.state();
        let Some(adrift) = state.adrift.take() else {
            return false;
        };
        // Nobody waits for the answer.
        let _ = state.apply(&adrift, self.flaw, self.kept);
        true
    }

    /// What is stored for `token`.
    pub(crate) fn value(&self, token: &TokenId) -> Option<Stored> {
        self.state().tokens.get(token).cloned()
    }
}

impl State {
    fn loaded<'a>(&self, tokens: impl Iterator<Item = &'a TokenId>) -> Loaded {
        Loaded {
            newest: None,
            version: Version::new(self.version),
            receipt_seq: ReceiptSeq::new(self.next_receipt_seq),
            tokens: tokens
                .map(|token| (token.clone(), self.tokens.get(token).cloned()))
                .collect(),
            unnameable: Vec::new(),
        }
    }

    /// The first sequence number whose receipt is kept.
    fn oldest(&self, kept: u64) -> u64 {
        self.next_receipt_seq.saturating_sub(kept)
    }

    /// Refuses who has seen more than there is.
    fn holds(&self, observed: &Observed, flaw: Flaw, kept: u64) -> Result<(), AttemptError> {
        let lacks = observed.receipt.is_some_and(|(mutation, receipt_seq)| {
            let is_kept = receipt_seq.get() >= self.oldest(kept) || flaw == Flaw::ForgetsTrimming;
            receipt_seq.get() >= self.next_receipt_seq
                || (is_kept && !self.receipts.contains_key(&mutation))
        });
        if lacks || self.version < observed.version.get() {
            return Err(self.lost(observed));
        }
        Ok(())
    }

    fn lost(&self, observed: &Observed) -> AttemptError {
        AttemptError::Corrupt(Corrupt::VaultRolledBack {
            prefix: String::new(),
            seen: observed.version.get(),
            met: self.version,
        })
    }

    fn write_receipt(&mut self, mutation: MutationId, fate: Fate, kept: u64) {
        let receipt_seq = self.next_receipt_seq;
        if let Some(oldest) = receipt_seq
            .checked_sub(kept)
            .and_then(|receipt_seq| self.places.remove(&receipt_seq))
        {
            self.receipts.remove(&oldest);
        }
        self.receipts.insert(mutation, fate);
        self.places.insert(receipt_seq, mutation);
        self.next_receipt_seq += 1;
    }

    fn apply(&mut self, attempt: &Adrift, flaw: Flaw, kept: u64) -> Result<Applied, AttemptError> {
        if let Some(fate) = self.receipts.get(&attempt.mutation)
            && flaw != Flaw::IgnoresReceipts
        {
            return Ok(Applied::Settled(*fate));
        }
        self.holds(&attempt.observed, flaw, kept)?;
        if attempt.begun.get() > self.next_receipt_seq {
            return Err(self.lost(&attempt.observed));
        }
        if attempt.begun.get() < self.oldest(kept) && flaw != Flaw::NothingIsForgotten {
            return Ok(Applied::ReceiptExpired);
        }
        let moved = attempt
            .read
            .iter()
            .any(|(token, value)| self.tokens.get(token) != value.as_ref());
        if moved && flaw != Flaw::TrustsLock {
            return Ok(Applied::Conflict {
                moved: Moved::Value,
                now: self.loaded(attempt.read.keys()),
            });
        }
        for (token, change) in &attempt.diff {
            match change {
                Change::Set(value) => self.tokens.insert(token.clone(), value.clone()),
                Change::Delete => self.tokens.remove(token),
            };
        }
        self.version += 1;
        let (version, receipt_seq) = (
            Version::new(self.version),
            ReceiptSeq::new(self.next_receipt_seq),
        );
        let fate = Fate::Applied {
            version,
            number: attempt.number,
            receipt_seq,
        };
        self.write_receipt(attempt.mutation, fate, kept);
        Ok(Applied::Committed {
            version,
            receipt_seq,
        })
    }
}

/// One replica's way to the vault.
pub(crate) struct Replica {
    vault: Arc<Vault>,
    number: u8,
    /// Taken by the first attempt. Not loom's: it decides nothing while
    /// another thread can see it.
    first: std::sync::Mutex<First>,
}

impl Replica {
    pub(crate) fn new(vault: &Arc<Vault>, number: u8, first: First) -> Self {
        Self {
            vault: vault.clone(),
            number,
            first: std::sync::Mutex::new(first),
        }
    }

    fn fate(&self) -> First {
        let mut first = self
            .first
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        let next = match *first {
            First::LateThenDenied | First::LostThenDenied | First::Denied => First::Denied,
            _ => First::Answered,
        };
        std::mem::replace(&mut first, next)
    }
}

fn not_modelled<T>() -> Result<T, AttemptError> {
    Err(AttemptError::Denied(Cause::new("not modelled")))
}

impl VaultStore for Replica {
    type Lease = ();

    fn tokens_key(&self) -> &'static str {
        "tokens"
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        let Vault { flaw, kept, .. } = *self.vault;
        let Load::Some(tokens) = what else {
            return not_modelled();
        };
        let state = self.vault.state();
        state.holds(observed, flaw, kept)?;
        Ok(state.loaded(tokens.iter()))
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let Vault { flaw, kept, .. } = *self.vault;
        let attempt = Adrift::copy(attempt, observed);
        let lost = || match flaw {
            Flaw::LossIsRefusal => AttemptError::Refused(Cause::new("lost")),
            _ => AttemptError::Ambiguous(Cause::new("lost")),
        };
        let first = self.fate();
        {
            let mut state = self.vault.state();
            match first {
                First::Answered => return state.apply(&attempt, flaw, kept),
                First::Denied => return Err(AttemptError::Denied(Cause::new("denied"))),
                First::ReplyLost | First::LostThenDenied => {
                    // Nobody hears the answer.
                    let _ = state.apply(&attempt, flaw, kept);
                    return Err(lost());
                }
                First::Late | First::LateAndSilent | First::LateThenDenied => {
                    state.adrift = Some(attempt);
                }
            }
        }
        if first == First::LateAndSilent {
            pending::<()>().await;
        }
        Err(lost())
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let Vault { flaw, kept, .. } = *self.vault;
        let mut state = self.vault.state();
        if let Some(fate) = state.receipts.get(&mutation) {
            return Ok(Some(*fate));
        }
        state.holds(observed, flaw, kept)?;
        if begun.get() > state.next_receipt_seq {
            return Err(state.lost(observed));
        }
        if begun.get() < state.oldest(kept) {
            return Ok(None);
        }
        if flaw != Flaw::NoTombstone {
            state.write_receipt(mutation, Fate::Dropped, kept);
        }
        Ok(Some(Fate::Dropped))
    }

    async fn due(&self, _: SystemTime, _: usize) -> Result<Due, AttemptError> {
        not_modelled()
    }

    async fn index(&self, _: &[Indexed], _: Option<u64>) -> Result<(), AttemptError> {
        not_modelled()
    }

    async fn scan(&self, _: u64, _: usize) -> Result<Page, AttemptError> {
        not_modelled()
    }

    /// Takes the lock if it is free, and goes ahead if not.
    async fn lease(&self) {
        let mut state = self.vault.state();
        while self.vault.flaw == Flaw::TrustsLock && state.lock.is_some() {
            state = self
                .vault
                .unlocked
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        state.lock.get_or_insert(self.number);
    }

    async fn release(&self, (): ()) {
        let mut state = self.vault.state();
        if state.lock == Some(self.number) {
            state.lock = None;
            self.vault.unlocked.notify_all();
        }
    }
}
