//! The production vault store with one thing broken.

use std::{
    collections::BTreeMap,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use haechi_store_redis::{
    AttemptError,
    clock::Clock,
    entropy::Entropy,
    redis::{
        Connect, Lease, RedisVaultStore,
        script::{Script, apply_call, apply_reply},
    },
    vault::{
        Applied, Attempt, Change, Diff, Due, Fate, Fence, Indexed, Load, Loaded, MutationId,
        Observed, Page, ReceiptSeq, VaultStore,
    },
};
use redis::{Value, cmd};

use super::{Variant, vault_scripts as scripts};

super::planted! {
    /// A planted bug of the vault.
    VaultMutant {
        VaultNoFence = "vault_no_fence": "the apply script compares nothing";
        VaultLockTrusted = "vault_lock_trusted": "whoever holds the lock applies without the fence";
        DeleteKeepsVersion = "delete_keeps_version": "a diff of deletes only does not move the version";
        DiffInTwoScripts = "diff_in_two_scripts": "the second half of a diff travels as a script of its own";
        DeletesAfterSets = "deletes_after_sets": "a token that is deleted and set again is set first and deleted then";
        FirstDiffKept = "first_diff_kept": "a mutation that is tried again applies the diff of its first run";
        SnapshotBeforeVersion = "snapshot_before_version": "the tokens are read by one command, the version by a later one";
        ScriptRunTwice = "script_run_twice": "a script that was not loaded is run when it is loaded and once more; no receipts";
        PruneUnfenced = "prune_unfenced": "deletes are not fenced: what was just refreshed is pruned";
        PurgeAgain = "purge_again": "a purge whose reply was lost is sent again without fence and receipt";
        VaultBlindRetry = "vault_blind_retry": "an attempt whose reply was lost is sent again as another mutation";
        VaultLostReplyNotApplied = "vault_lost_reply_not_applied": "a lost reply is reported as not applied";
        EnvelopeEndKept = "envelope_end_kept": "a refreshed token keeps the end of its first envelope";
        NoTombstone = "no_tombstone": "a mutation whose reply was lost is given up without a receipt that stops its late attempts";
    }
}

/// The vault store of a variant: the production store, or one with a planted
/// bug in between.
pub(crate) struct VaultUnderTest<N: Connect, C, E> {
    mutant: Option<VaultMutant>,
    store: RedisVaultStore<N, C, E>,
    /// The production's apply script with one line of it broken.
    apply: Script,
    settle: Script,
    memory: Mutex<Memory>,
}

/// What some of the broken stores remember, by mutation.
#[derive(Default)]
struct Memory {
    first_diffs: BTreeMap<MutationId, Diff>,
    /// How often a mutation was sent under another identity.
    disguises: BTreeMap<MutationId, u8>,
}

impl<N: Connect, C: Clock, E: Entropy> VaultUnderTest<N, C, E> {
    pub(crate) fn new(variant: Variant, store: RedisVaultStore<N, C, E>) -> Self {
        let mutant = match variant {
            Variant::PlantedInVault(mutant) => Some(mutant),
            _ => None,
        };
        Self {
            mutant,
            store,
            apply: Script::new(scripts::apply(mutant)),
            settle: Script::new(scripts::settle_without_tombstone()),
            memory: Mutex::default(),
        }
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies with the variant's own script.
    async fn apply_broken(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = apply_call(&self.apply, self.store.keys(), attempt, observed);
        let reply = self.store.link().run(&self.apply, &call).await?;
        apply_reply(reply, self.store.keys(), attempt, observed)
    }

    /// What a client does that falls back to EVAL and then, not noticing that
    /// this has run the script, to what it was about to do.
    async fn apply_twice(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = apply_call(&self.apply, self.store.keys(), attempt, observed);
        let link = self.store.link();
        let reply = match link.send(&call).await {
            Err(AttemptError::Refused(cause)) if cause.code() == Some("NOSCRIPT") => {
                // SCRIPT LOAD, and the call: EVAL by another name.
                link.run(&self.apply, &call).await?;
                link.send(&call).await?
            }
            reply => reply?,
        };
        apply_reply(reply, self.store.keys(), attempt, observed)
    }

    /// Applies without the fence on values, deletes on whatever stands.
    async fn apply_unfenced(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let unread = BTreeMap::new();
        let unfenced = Attempt {
            fence: Fence::Values,
            read: &unread,
            ..*attempt
        };
        self.store.apply(&unfenced, observed).await
    }

    async fn apply_in_two(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let mut halves = [Diff::new(), Diff::new()];
        for (place, (token, change)) in attempt.diff.iter().enumerate() {
            let half = &mut halves[usize::from(place > 0)];
            match change {
                Change::Set(value) => half.set(token.clone(), value.clone()),
                Change::Delete => half.delete(token.clone()),
            }
        }
        let [first, second] = halves;
        let half = Attempt {
            diff: &first,
            ..*attempt
        };
        let applied = self.store.apply(&half, observed).await?;
        if matches!(applied, Applied::Committed { .. }) {
            for (token, change) in &second {
                let mut change_one = match change {
                    Change::Set(_) => cmd("HSET"),
                    Change::Delete => cmd("HDEL"),
                };
                change_one
                    .arg(&self.store.keys().tokens)
                    .arg(token.as_str());
                if let Change::Set(value) = change {
                    change_one.arg(value.bytes());
                }
                self.store.link().send(&change_one).await?;
            }
        }
        Ok(applied)
    }

    async fn apply_first_diff(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let first = self
            .memory()
            .first_diffs
            .entry(attempt.mutation)
            .or_insert_with(|| attempt.diff.clone())
            .clone();
        let stale = Attempt {
            diff: &first,
            ..*attempt
        };
        self.store.apply(&stale, observed).await
    }

    /// Takes a mutation that was not applied so far for one that never will be.
    async fn apply_or_give_up(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let cause = match self.store.apply(attempt, observed).await {
            Err(AttemptError::Ambiguous(cause)) => cause,
            answer => return answer,
        };
        let mut call = self.settle.call(&self.store.keys().all());
        call.arg(observed.version.get()).arg("").arg(0);
        call.arg(attempt.mutation.to_string())
            .arg(attempt.begun.get());
        match self.store.link().run(&self.settle, &call).await {
            Ok(Value::Array(parts)) if is_dropped(&parts) => Err(AttemptError::Denied(cause)),
            _ => Err(AttemptError::Ambiguous(cause)),
        }
    }

    /// Sends attempts whose predecessor's reply was lost as another mutation's.
    async fn apply_disguised(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
        fenced: bool,
    ) -> Result<Applied, AttemptError> {
        let disguise = *self.memory().disguises.entry(attempt.mutation).or_default();
        let other = Attempt {
            mutation: disguised(attempt.mutation, disguise),
            ..*attempt
        };
        // Nobody would find the receipt under the name that it is believed to have.
        let observed = Observed {
            receipt: None,
            ..*observed
        };
        let applied = if fenced || disguise == 0 {
            self.store.apply(&other, &observed).await
        } else {
            self.apply_unfenced(&other, &observed).await
        };
        match applied {
            Err(AttemptError::Ambiguous(cause)) => {
                *self.memory().disguises.entry(attempt.mutation).or_default() += 1;
                if fenced {
                    Err(AttemptError::Refused(cause))
                } else {
                    Err(AttemptError::Ambiguous(cause))
                }
            }
            other => other,
        }
    }
}

/// Another identity for the same mutation.
fn disguised(mutation: MutationId, disguise: u8) -> MutationId {
    if disguise == 0 {
        return mutation;
    }
    let mut bytes = [disguise; 16];
    for (byte, of) in bytes.iter_mut().zip(mutation.to_string().bytes()) {
        *byte ^= of;
    }
    MutationId::from_bytes(bytes)
}

fn deletes_only(attempt: &Attempt<'_>) -> bool {
    attempt
        .diff
        .iter()
        .all(|(_, change)| *change == Change::Delete)
}

impl<N: Connect, C: Clock, E: Entropy> VaultStore for VaultUnderTest<N, C, E> {
    type Lease = Option<Lease>;

    fn tokens_key(&self) -> &str {
        self.store.tokens_key()
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        match (self.mutant, what) {
            (Some(VaultMutant::SnapshotBeforeVersion), Load::All { intent: Some(_) }) => {
                let tokens = self
                    .store
                    .load(Load::All { intent: None }, observed)
                    .await?;
                let version = self.store.load(what, observed).await?;
                Ok(Loaded {
                    tokens: tokens.tokens,
                    ..version
                })
            }
            (Some(VaultMutant::VaultBlindRetry | VaultMutant::PurgeAgain), _) => {
                let observed = Observed {
                    receipt: None,
                    ..*observed
                };
                self.store.load(what, &observed).await
            }
            _ => self.store.load(what, observed).await,
        }
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let Some(mutant) = self.mutant else {
            return self.store.apply(attempt, observed).await;
        };
        match mutant {
            VaultMutant::VaultNoFence
            | VaultMutant::VaultLockTrusted
            | VaultMutant::DeleteKeepsVersion
            | VaultMutant::DeletesAfterSets => self.apply_broken(attempt, observed).await,
            VaultMutant::DiffInTwoScripts => self.apply_in_two(attempt, observed).await,
            VaultMutant::FirstDiffKept => self.apply_first_diff(attempt, observed).await,
            VaultMutant::ScriptRunTwice => self.apply_twice(attempt, observed).await,
            VaultMutant::PruneUnfenced if deletes_only(attempt) => {
                self.apply_unfenced(attempt, observed).await
            }
            VaultMutant::PurgeAgain if deletes_only(attempt) => {
                self.apply_disguised(attempt, observed, false).await
            }
            VaultMutant::PurgeAgain => {
                let observed = Observed {
                    receipt: None,
                    ..*observed
                };
                self.store.apply(attempt, &observed).await
            }
            VaultMutant::VaultBlindRetry => self.apply_disguised(attempt, observed, true).await,
            VaultMutant::VaultLostReplyNotApplied => {
                match self.store.apply(attempt, observed).await {
                    Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Denied(cause)),
                    other => other,
                }
            }
            VaultMutant::NoTombstone => self.apply_or_give_up(attempt, observed).await,
            VaultMutant::SnapshotBeforeVersion
            | VaultMutant::PruneUnfenced
            | VaultMutant::EnvelopeEndKept => self.store.apply(attempt, observed).await,
        }
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        match self.mutant {
            Some(VaultMutant::VaultBlindRetry | VaultMutant::PurgeAgain) => {
                let disguise = self.memory().disguises.get(&mutation).copied();
                let observed = Observed {
                    receipt: None,
                    ..*observed
                };
                let mutation = disguised(mutation, disguise.unwrap_or(0));
                self.store.settle(mutation, begun, &observed).await
            }
            _ => self.store.settle(mutation, begun, observed).await,
        }
    }

    async fn due(&self, now: Duration, limit: usize) -> Result<Due, AttemptError> {
        self.store.due(now, limit).await
    }

    async fn index(&self, tokens: &[Indexed], whole: Option<u64>) -> Result<(), AttemptError> {
        self.store.index(tokens, whole).await
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        self.store.scan(cursor, count).await
    }

    async fn lease(&self) -> Option<Lease> {
        loop {
            let lease = self.store.lease().await;
            // The one that trusts the lock has to have it.
            if lease.is_some() || self.mutant != Some(VaultMutant::VaultLockTrusted) {
                return lease;
            }
        }
    }

    async fn release(&self, lease: Option<Lease>) {
        self.store.release(lease).await;
    }
}

fn is_dropped(parts: &[Value]) -> bool {
    matches!(parts.get(1), Some(Value::BulkString(receipt)) if receipt.starts_with(b"dropped"))
}
