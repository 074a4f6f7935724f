//! A lost reply, of which nobody knows whether the command ran, is reported as
//! something that is known.

use haechi_store_redis::{
    AttemptError, Cause,
    audit::store::{Batch, Reply},
    vault::store::{Applied, Attempt, Observed},
};

use crate::mutants::bug::{PlantedBug, RedisAudit, RedisVault};

/// What a lost reply is reported as.
pub(in crate::mutants) struct LostReply(pub(in crate::mutants) fn(Cause) -> AttemptError);

impl LostReply {
    fn report<T>(&self, answer: Result<T, AttemptError>) -> Result<T, AttemptError> {
        answer.map_err(|error| match error {
            AttemptError::Ambiguous(cause) => (self.0)(cause),
            other => other,
        })
    }
}

impl PlantedBug for LostReply {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        self.report(next.append(batch).await)
    }

    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        self.report(next.apply(attempt, observed).await)
    }
}
