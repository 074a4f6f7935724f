//! A vault that replicas share, each of its commands one atomic step: the
//! store's reference model, with one lost reply, a late attempt, and a lock
//! that expires. Only the [`Flaw`] is broken in it.

use std::collections::BTreeMap;

use haechi_store_redis::{
    AttemptError,
    test_util::{Fault, Faults, Hooked, MemoryVault, VaultHooks, VaultModel},
    vault::{
        MutationId, Stored, TokenId,
        store::{Applied, Attempt, Fate, Load, Loaded, Observed, ReceiptSeq, VaultStore},
    },
};
use loom::{future::block_on, sync::Arc};

use crate::lock::{Lock, LockOf};

/// A planted bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flaw {
    None,
    /// Waits for the lock and ignores the fence.
    TrustsLock,
    /// A mutation's receipt is written, but ignored when it is applied.
    IgnoresReceipts,
    /// A lost reply is reported as a refusal.
    LossIsRefusal,
    /// A mutation is reported as dropped without a tombstone.
    NoTombstone,
    /// A mutation whose receipt may have been replaced is applied.
    IgnoresExpiry,
    /// A receipt that is no longer kept counts as lost.
    IgnoresTrimming,
}

/// The server.
#[derive(Clone)]
pub(crate) struct Vault {
    tokens: Hooked<MemoryVault, Flaw>,
    lock: Arc<Lock>,
    faults: Faults,
}

/// One replica's store: its lock, the faults of its commands, then the server.
pub(crate) type Replica = Hooked<Hooked<Hooked<MemoryVault, Flaw>, Faults>, Client>;

/// A replica's handling of the server's answers.
pub(crate) struct Client {
    flaw: Flaw,
    lock: LockOf,
}

impl Vault {
    /// Keeps so many receipts; the first attempt has the fault `first`, all
    /// later ones of the same replica `then`.
    pub(crate) fn new(flaw: Flaw, kept: u64, first: Fault, then: Fault) -> Self {
        let tokens = MemoryVault::over(VaultModel::keeping(kept));
        Self {
            tokens: Hooked::new(tokens, flaw),
            lock: Lock::new(),
            faults: Faults::of_writes([first], then),
        }
    }

    /// The replica whose attempts have faults.
    pub(crate) fn struck(&self, number: u8) -> Replica {
        self.replica(number, self.faults.clone())
    }

    /// Another replica.
    pub(crate) fn other(&self, number: u8) -> Replica {
        self.replica(number, Faults::default())
    }

    fn replica(&self, number: u8, faults: Faults) -> Replica {
        let flaw = *self.tokens.hooks();
        let client = Client {
            flaw,
            lock: Lock::of(&self.lock, number, flaw == Flaw::TrustsLock),
        };
        Hooked::new(Hooked::new(self.tokens.clone(), faults), client)
    }

    /// Makes the lock expire.
    pub(crate) fn lapse(&self) {
        self.lock.lapse();
    }

    /// Delivers the late attempt, if it has been sent.
    pub(crate) fn deliver(&self) {
        // The answer is discarded.
        block_on(self.faults.deliver_attempt(&self.tokens));
    }

    /// The value of `token`.
    pub(crate) fn value(&self, token: &TokenId) -> Option<Stored> {
        self.tokens
            .store()
            .with(|vault| vault.tokens().get(token).cloned())
    }
}

impl Flaw {
    /// With the flaw, refuses a process that has observed a receipt that is no
    /// longer kept.
    fn check_observed(self, vault: &VaultModel, observed: &Observed) -> Result<(), AttemptError> {
        let mut seen = observed.receipts.into_iter().flatten();
        let is_gone = seen.any(|seen| seen.seq < vault.oldest_receipt());
        match self == Self::IgnoresTrimming && is_gone {
            true => Err(vault.rolled_back(observed)),
            false => Ok(()),
        }
    }
}

/// The server's part of a flaw.
impl VaultHooks<MemoryVault> for Flaw {
    async fn load(
        &self,
        next: &MemoryVault,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        next.with(|vault| {
            self.check_observed(vault, observed)?;
            vault.load(what, observed)
        })
    }

    async fn apply(
        &self,
        next: &MemoryVault,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let unread = BTreeMap::new();
        let mut attempt = *attempt;
        next.with(|vault| {
            if *self == Self::IgnoresReceipts {
                let before = vault.clone();
                vault.forget(attempt.mutation);
                let observed = Observed {
                    receipts: Observed::default().receipts,
                    ..*observed
                };
                let answer = vault.apply(&attempt, &observed);
                // An attempt that was not applied leaves the receipt unchanged.
                if !matches!(answer, Ok(Applied::Committed { .. })) {
                    *vault = before;
                }
                return answer;
            }
            match self {
                Self::TrustsLock => attempt.read = &unread,
                Self::IgnoresExpiry => attempt.begun = vault.next_receipt(),
                _ => {}
            }
            if vault.fate(attempt.mutation).is_none() {
                self.check_observed(vault, observed)?;
            }
            vault.apply(&attempt, observed)
        })
    }

    async fn settle(
        &self,
        next: &MemoryVault,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        next.with(|vault| {
            if vault.fate(mutation).is_none() {
                self.check_observed(vault, observed)?;
            }
            if *self == Self::NoTombstone {
                // On a copy, so that no tombstone is written.
                return vault.clone().settle(mutation, begun, observed);
            }
            vault.settle(mutation, begun, observed)
        })
    }
}

impl<S: VaultStore<Lease = ()>> VaultHooks<S> for Client {
    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        match next.apply(attempt, observed).await {
            Err(AttemptError::Ambiguous(cause)) if self.flaw == Flaw::LossIsRefusal => {
                Err(AttemptError::Refused(cause))
            }
            answer => answer,
        }
    }

    async fn lease(&self, _: &S) {
        self.lock.lease();
    }

    async fn release(&self, _: &S, (): ()) {
        self.lock.release();
    }
}
