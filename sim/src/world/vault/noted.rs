//! A vault store that notes, for the history, what goes through it. It changes
//! nothing.

use std::time::Duration;

use haechi_store_redis::{
    AttemptError,
    vault::{
        Applied, Attempt, Due, Fate, Indexed, Load, Loaded, MutationId, Observed, Page, ReceiptSeq,
        VaultStore,
    },
};

use crate::world::ledger::Ledger;
use haechi_history::OpId;

tokio::task_local! {
    /// The call that the task is busy with, by its first operation.
    pub(crate) static CALL: OpId;
}

/// A store whose attempts are noted under the call that makes them.
pub(crate) struct Noted<S> {
    store: S,
    shared: Ledger,
}

impl<S> Noted<S> {
    pub(crate) fn new(store: S, shared: Ledger) -> Self {
        Self { store, shared }
    }

    fn call() -> Option<OpId> {
        CALL.try_with(|call| *call).ok()
    }
}

impl<S: VaultStore> VaultStore for Noted<S> {
    type Lease = S::Lease;

    fn tokens_key(&self) -> &str {
        self.store.tokens_key()
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        let loaded = self.store.load(what, observed).await;
        if let (Load::All { intent: Some(_) }, Ok(loaded)) = (what, &loaded) {
            self.shared
                .note(Self::call(), |notes| notes.saw_all(loaded));
        }
        loaded
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = Self::call();
        self.shared.attempt(call, attempt);
        let answer = self.store.apply(attempt, observed).await;
        self.shared.note(call, |notes| match &answer {
            Ok(applied) => notes.answered(attempt, Some(applied)),
            Err(AttemptError::Ambiguous(_)) => notes.answered(attempt, None),
            Err(_) => notes.refused(attempt),
        });
        answer
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let answer = self.store.settle(mutation, begun, observed).await;
        if let Ok(Some(fate)) = answer {
            self.shared
                .note(Self::call(), |notes| notes.settled(mutation, fate));
        }
        answer
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

    async fn lease(&self) -> S::Lease {
        self.store.lease().await
    }

    async fn release(&self, lease: S::Lease) {
        self.store.release(lease).await;
    }
}
