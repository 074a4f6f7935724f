//! No request to the vault says what its process has observed.

use haechi_store_redis::{
    AttemptError,
    vault::{
        MutationId,
        store::{Applied, Attempt, Fate, Load, Loaded, Observed, ReceiptSeq},
    },
};

use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct NothingObserved;

impl PlantedBug for NothingObserved {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        _: &Observed,
    ) -> Result<Loaded, AttemptError> {
        next.load(what, &Observed::default()).await
    }

    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        _: &Observed,
    ) -> Result<Applied, AttemptError> {
        next.apply(attempt, &Observed::default()).await
    }

    async fn settle<S: RedisVault>(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        _: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        next.settle(mutation, begun, &Observed::default()).await
    }
}
