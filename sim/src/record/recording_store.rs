//! A vault store that records, for the history, what goes through it. It
//! changes nothing.

use haechi_history::OpId;
use haechi_store_redis::{
    AttemptError,
    test_util::{Hooked, VaultHooks},
    vault::{
        MutationId,
        store::{Applied, Attempt, Fate, Load, Loaded, Observed, ReceiptSeq, VaultStore},
    },
};

use super::{Situation, recorder::RunRecorder};
use crate::plan::LARGE;

tokio::task_local! {
    /// The task's current call, by its first operation.
    pub(crate) static CALL: OpId;
}

/// A store whose attempts are recorded under the call that makes them.
pub(crate) type RecordingStore<S> = Hooked<S, RecordAttempts>;

/// Records the attempts of a store.
pub(crate) struct RecordAttempts(pub(crate) RunRecorder);

impl RecordAttempts {
    fn call() -> Option<OpId> {
        CALL.try_with(|call| *call).ok()
    }
}

impl<S: VaultStore> VaultHooks<S> for RecordAttempts {
    async fn load(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let loaded = next.load(what, observed).await;
        if let (Load::All { .. }, Ok(loaded)) = (what, &loaded)
            && loaded.tokens.len() >= LARGE
        {
            self.0.met(Situation::LargeVaultRead);
        }
        if let (Load::All { intent: Some(_) }, Ok(loaded)) = (what, &loaded) {
            self.0
                .in_call(Self::call(), |trace| trace.read_snapshot(loaded));
        }
        if let (Some(call), Ok(loaded)) = (Self::call(), &loaded) {
            self.0.in_call(Some(call), |trace| trace.loaded(loaded));
        }
        loaded
    }

    async fn apply(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let call = Self::call();
        self.0.attempt(call, attempt);
        let answer = next.apply(attempt, observed).await;
        self.0.in_call(call, |trace| match &answer {
            Ok(applied) => trace.answered(attempt, Some(applied)),
            Err(AttemptError::Ambiguous(_)) => trace.answered(attempt, None),
            Err(_) => trace.refused(attempt),
        });
        answer
    }

    async fn settle(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let answer = next.settle(mutation, begun, observed).await;
        if let Ok(Some(fate)) = answer {
            self.0
                .in_call(Self::call(), |trace| trace.settled(mutation, fate));
        }
        answer
    }
}
