//! The tokens are read by one command, the version by a later one.

use haechi_store_redis::{
    AttemptError,
    vault::store::{Load, Loaded, Observed},
};

use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct SnapshotBeforeVersion;

impl PlantedBug for SnapshotBeforeVersion {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let Load::All { intent: Some(_) } = what else {
            return next.load(what, observed).await;
        };
        let tokens = next.load(Load::All { intent: None }, observed).await?;
        let version = next.load(what, observed).await?;
        Ok(Loaded {
            tokens: tokens.tokens,
            ..version
        })
    }
}
