//! A vault in memory, over its reference model.

use std::time::SystemTime;

use super::VaultModel;
use crate::{
    error::AttemptError,
    sync::{Arc, Mutex, lock},
    vault::{
        MutationId,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, ReceiptSeq,
            VaultStore,
        },
    },
};

/// A vault in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryVault(Arc<Mutex<VaultModel>>);

impl MemoryVault {
    /// An empty vault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A vault with this initial state.
    #[must_use]
    pub fn over(model: VaultModel) -> Self {
        Self(Arc::new(Mutex::new(model)))
    }

    /// Reads or changes the vault in one atomic step.
    pub fn with<T>(&self, step: impl FnOnce(&mut VaultModel) -> T) -> T {
        step(&mut lock(&self.0))
    }
}

impl VaultStore for MemoryVault {
    type Lease = ();

    fn tokens_key(&self) -> &'static str {
        "tokens"
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        self.with(|vault| vault.load(what, observed))
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.with(|vault| vault.apply(attempt, observed))
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        self.with(|vault| vault.settle(mutation, begun, observed))
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        Ok(self.with(|vault| vault.due(now, limit)))
    }

    async fn index(&self, _: &[Indexed], _: Option<u64>) -> Result<(), AttemptError> {
        Ok(())
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        Ok(self.with(|vault| vault.scan(cursor, count)))
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
