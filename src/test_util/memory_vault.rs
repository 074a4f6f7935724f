//! A vault in memory, over its reference model.

use std::time::SystemTime;

use super::VaultModel;
use crate::{
    clock::{Clock, SystemClock},
    error::AttemptError,
    sync::{Arc, Mutex, lock},
    vault::{
        MutationId,
        store::{
            Applied, Attempt, Due, Fate, Indexed, Load, Loaded, Observed, Page, Receipt,
            ReceiptSeq, ServerTime, VaultStore,
        },
    },
};

/// A vault in memory, whose "server" has the given clock. Clones share it.
#[derive(Clone)]
pub struct MemoryVault<C = SystemClock> {
    model: Arc<Mutex<VaultModel>>,
    clock: C,
}

impl MemoryVault {
    /// An empty vault, with the system's clock.
    #[must_use]
    pub fn new() -> Self {
        Self::over(VaultModel::default())
    }

    /// A vault with this initial state, and the system's clock.
    #[must_use]
    pub fn over(model: VaultModel) -> Self {
        Self::with_clock(model, SystemClock::new())
    }
}

impl Default for MemoryVault {
    fn default() -> Self {
        Self::new()
    }
}

impl<C: Clock> MemoryVault<C> {
    /// A vault with this initial state and clock.
    #[must_use]
    pub fn with_clock(model: VaultModel, clock: C) -> Self {
        Self {
            model: Arc::new(Mutex::new(model)),
            clock,
        }
    }

    /// Reads or changes the vault in one atomic step.
    pub fn with<T>(&self, step: impl FnOnce(&mut VaultModel) -> T) -> T {
        step(&mut lock(&self.model))
    }

    fn time(&self) -> ServerTime {
        ServerTime::new(self.clock.wall())
    }
}

impl<C: Clock> VaultStore for MemoryVault<C> {
    type Lease = ();

    fn tokens_key(&self) -> &'static str {
        "tokens"
    }

    async fn load(&self, what: Load<'_>, observed: &Observed) -> Result<Loaded, AttemptError> {
        let mut loaded = self.with(|vault| vault.load(what, observed))?;
        loaded.server_time = self.time();
        Ok(loaded)
    }

    async fn apply(
        &self,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let mut applied = self.with(|vault| vault.apply(attempt, observed))?;
        if let Applied::Conflict { now, .. } = &mut applied {
            now.server_time = self.time();
        }
        Ok(applied)
    }

    async fn settle(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        self.with(|vault| vault.settle(mutation, begun, observed))
    }

    async fn receipt(
        &self,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Receipt, AttemptError> {
        self.with(|vault| vault.receipt(mutation, begun, observed))
    }

    async fn due(&self, own: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        let now = own.min(self.time().get());
        Ok(self.with(|vault| vault.due(now, limit)))
    }

    async fn index(&self, _: &[Indexed], _: Option<u64>) -> Result<(), AttemptError> {
        Ok(())
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        let mut page = self.with(|vault| vault.scan(cursor, count));
        page.server_time = self.time();
        Ok(page)
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
