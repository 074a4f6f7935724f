//! What the token stores of one process share: the store, the inputs, the limits,
//! and what the process has observed of the vault.

use std::time::Duration;

use super::{
    admission::Admission,
    store::{
        Load, Loaded, MutationId, Observed, ReceiptPosition, ReceiptSeq, ServerTime, VaultStore,
        Version,
    },
};
use crate::{
    clock::{Clock, deserialize_duration, epoch_micros, from_epoch_micros, within},
    durability::{Confirmations, Confirming, confirmed},
    entropy::Entropy,
    error::{AttemptError, Corrupt, NotApplied},
    health::LastAttempt,
    seen::{Id, SeenEntry, SeenVault},
    sync::{Arc, Mutex, lock},
    telemetry::Telemetry,
};

/// Waits after a failure.
pub(super) const FAILURE_WAIT: (Duration, Duration) =
    (Duration::from_millis(5), Duration::from_millis(500));

/// The limits of a token store. Every field has a default.
#[derive(Clone, Debug, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
#[non_exhaustive]
pub struct VaultConfig {
    /// How long a mutation or a read may take. The last quarter of a mutation's
    /// time is reserved for finding out its outcome. Default: 10 s.
    #[serde(deserialize_with = "deserialize_duration")]
    pub deadline: Duration,
    /// How long, from the first one that it meets, a mutation waits for locks of replicas
    /// that follow the whole-snapshot protocol; at most a quarter of the deadline.
    /// Default: 250 ms.
    #[serde(deserialize_with = "deserialize_duration")]
    pub foreign_lock_wait: Duration,
    /// How many mutations, and how many reads, one store has under way at a time; more
    /// wait, in their order. A mutation that brings more than 64 KiB counts as several. A
    /// future that was begun and is neither polled nor dropped keeps its place.
    /// Default: 256.
    pub at_once: usize,
    /// How many bytes the callers of mutations bring, those that wait included; one that
    /// would bring more is refused with [`NotApplied::Overloaded`], and one that is larger by
    /// itself with [`NotApplied::Refused`].
    /// Each counts as 1 KiB and what [`Mutation::bytes`](super::Mutation::bytes) says.
    /// Default: 64 MiB.
    pub queue_bytes: usize,
    #[serde(skip)]
    pub(crate) telemetry: Telemetry,
    /// Where what is seen is kept; see [`Builder::seen_file`](crate::Builder::seen_file).
    #[serde(skip)]
    pub(crate) kept: Option<SeenEntry>,
}

impl Default for VaultConfig {
    fn default() -> Self {
        Self {
            deadline: Duration::from_secs(10),
            foreign_lock_wait: Duration::from_millis(250),
            at_once: 256,
            queue_bytes: 64 << 20,
            telemetry: Telemetry::default(),
            kept: None,
        }
    }
}

/// Counters of a token store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct VaultStats {
    /// Mutations applied.
    pub committed: u64,
    /// Attempts refused because a value had changed.
    pub value_conflicts: u64,
    /// Attempts refused because the version had changed.
    pub version_conflicts: u64,
    /// Attempts refused because of a foreign lock.
    pub foreign_locked: u64,
    /// Attempts repeated after a failure.
    pub retries: u64,
    /// Attempts whose reply was lost.
    pub lost_replies: u64,
    /// Mutations applied, but not as durable as asked.
    pub not_yet_durable: u64,
    /// Mutations whose outcome was read from their receipt.
    pub settled_by_receipt: u64,
    /// The most attempts for one mutation.
    pub most_attempts: u64,
}

impl VaultStats {
    /// Adds the counters of another store.
    pub fn add(&mut self, other: Self) {
        self.committed += other.committed;
        self.value_conflicts += other.value_conflicts;
        self.version_conflicts += other.version_conflicts;
        self.foreign_locked += other.foreign_locked;
        self.retries += other.retries;
        self.lost_replies += other.lost_replies;
        self.not_yet_durable += other.not_yet_durable;
        self.settled_by_receipt += other.settled_by_receipt;
        self.most_attempts = self.most_attempts.max(other.most_attempts);
    }
}

/// What requests to the vault need. Clones share what was observed.
pub(super) struct Context<S, C, E> {
    pub(super) store: Arc<S>,
    pub(super) clock: C,
    pub(super) entropy: E,
    pub(super) config: VaultConfig,
    pub(super) memory: Arc<Mutex<Memory>>,
    pub(super) mutations: Admission,
    pub(super) reads: Admission,
    /// Mutations that were applied.
    pub(super) confirmations: Confirmations<MutationId>,
}

impl<S, C: Clone, E: Clone> Clone for Context<S, C, E> {
    fn clone(&self) -> Self {
        Self {
            store: self.store.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            config: self.config.clone(),
            memory: self.memory.clone(),
            mutations: self.mutations.clone(),
            reads: self.reads.clone(),
            confirmations: self.confirmations.clone(),
        }
    }
}

impl<S: VaultStore, C: Clock, E: Entropy> Context<S, C, E> {
    /// How `mutation`, which was applied, becomes as durable as asked.
    pub(super) fn confirming(&self, mutation: MutationId) -> Confirming {
        let (store, clock, entropy) =
            (self.store.clone(), self.clock.clone(), self.entropy.clone());
        let limit = self.config.deadline;
        self.confirmations
            .join(mutation, move |mutations| async move {
                let confirm = || store.confirm(&mutations);
                confirmed(&clock, &entropy, limit, mutations.len(), confirm).await
            })
    }
}

impl<S: VaultStore, C: Clock, E> Context<S, C, E> {
    /// What `corrupt` comes to. A rollback is looked at again before it is told, and is
    /// remembered; `None` if it is not there any more.
    pub(super) async fn believed(&self, corrupt: Corrupt, limit: Duration) -> Option<Corrupt> {
        let Corrupt::VaultRolledBack { seen, met, .. } = &corrupt else {
            return Some(corrupt);
        };
        // The version may have grown since; only the receipts can be looked for again.
        let receipts = Observed {
            version: Version::default(),
            ..lock(&self.memory).observed()
        };
        let stands = match self.look(&receipts, limit).await {
            Some(stands) => stands,
            None => met < seen,
        };
        if stands && met >= seen {
            return None;
        }
        let found = VaultRollback {
            corrupt,
            can_be_restored: !stands,
        };
        let mut memory = lock(&self.memory);
        Some(memory.rolled_back.get_or_insert(found).corrupt.clone())
    }

    /// The rollback that was found, unless what was seen is there again: an operator may
    /// have restored the data.
    pub(super) async fn rolled_back(&self, limit: Duration) -> Option<Corrupt> {
        let (found, observed) = {
            let memory = lock(&self.memory);
            (memory.rolled_back.clone()?, memory.observed())
        };
        if !found.can_be_restored || self.look(&observed, limit).await != Some(true) {
            return Some(found.corrupt);
        }
        lock(&self.memory).rolled_back = None;
        None
    }

    /// Whether the vault has what was observed; `None` if it is not answered.
    async fn look(&self, observed: &Observed, limit: Duration) -> Option<bool> {
        let load = self.store.load(Load::Some(&[]), observed);
        match within(&self.clock, limit, load).await? {
            Ok(_) => Some(true),
            Err(AttemptError::Corrupt(Corrupt::VaultRolledBack { .. })) => Some(false),
            Err(_) => None,
        }
    }
}

impl<S, C, E: Entropy> Context<S, C, E> {
    pub(super) fn new_mutation(&self) -> Result<MutationId, NotApplied> {
        let mut id = [0; 16];
        self.entropy
            .fill(&mut id)
            .map_err(|error| NotApplied::Entropy(error.to_string()))?;
        Ok(MutationId::from_bytes(id))
    }
}

/// A rollback that was found.
#[derive(Clone)]
pub(super) struct VaultRollback {
    corrupt: Corrupt,
    /// Whether a receipt was gone. Where only the version is lower, other writers
    /// reach it again, and nothing tells whether what was lost is there again.
    can_be_restored: bool,
}

/// What a process remembers of the vault.
#[derive(Default)]
pub(super) struct Memory {
    /// What was observed, unless that is kept.
    observed: Observed,
    /// The holder of a foreign lock that outlasted the wait.
    pub(super) outlived: Option<Vec<u8>>,
    /// After a rollback was detected, nothing is changed until what was seen is there
    /// again.
    pub(super) rolled_back: Option<VaultRollback>,
    pub(super) stats: VaultStats,
    pub(super) last_attempt: LastAttempt,
    /// Whether the vault over it is closed.
    pub(super) closing: bool,
    /// Where what was observed is kept.
    kept: Option<SeenEntry>,
}

impl Memory {
    /// The memory of a process that begins with what is kept.
    pub(super) fn of(kept: Option<SeenEntry>) -> Self {
        Self {
            kept,
            ..Self::default()
        }
    }

    /// What this process has observed. If that is kept, it is the same for all token stores
    /// that share the file.
    pub(super) fn observed(&self) -> Observed {
        match &self.kept {
            Some(kept) => observed_in(kept.vault().as_ref()),
            None => self.observed,
        }
    }

    /// What the answer to a request that was sent with `sent` tells of the vault.
    pub(super) fn saw(
        &mut self,
        version: Version,
        newest: Option<ReceiptPosition>,
        sent: &Observed,
    ) {
        // What is there after a rollback is not what was seen.
        if self.rolled_back.is_none() {
            self.update(|observed| observed.saw(version, newest, sent));
        }
    }

    /// Goes on from what was just loaded, whatever was seen before.
    pub(super) fn restart_from(&mut self, loaded: &Loaded) {
        self.rolled_back = None;
        self.update(|observed| *observed = Observed::of(loaded.version, loaded.newest));
    }

    fn update(&mut self, update: impl FnOnce(&mut Observed)) {
        match &self.kept {
            Some(kept) => kept.update_vault(|seen| {
                let mut observed = observed_in(seen);
                update(&mut observed);
                seen_vault(&observed)
            }),
            None => update(&mut self.observed),
        }
    }
}

/// The form in a file of what was seen.
fn seen_vault(observed: &Observed) -> SeenVault {
    let receipt = |seen: ReceiptPosition| {
        let written = epoch_micros(seen.written.get());
        (Id(*seen.mutation.as_bytes()), seen.seq.get(), written)
    };
    SeenVault {
        version: observed.version.get(),
        receipts: observed
            .receipts
            .into_iter()
            .flatten()
            .map(receipt)
            .collect(),
    }
}

fn observed_in(seen: Option<&SeenVault>) -> Observed {
    let receipt = |&(Id(mutation), seq, written): &_| ReceiptPosition {
        mutation: MutationId::from_bytes(mutation),
        seq: ReceiptSeq::new(seq),
        written: ServerTime::new(from_epoch_micros(written)),
    };
    seen.map_or_else(Observed::default, |seen| {
        let receipts = seen.receipts.iter().map(receipt);
        Observed::of(Version::new(seen.version), receipts)
    })
}
