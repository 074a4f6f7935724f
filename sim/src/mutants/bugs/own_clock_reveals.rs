//! The process's own clock alone decides whether a token may be revealed.

use haechi_store_redis::{
    AttemptError,
    vault::store::{Load, Loaded, Observed, ServerTime},
};

use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct OwnClockReveals;

impl PlantedBug for OwnClockReveals {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let mut loaded = next.load(what, observed).await?;
        loaded.server_time = ServerTime::new(next.wall());
        Ok(loaded)
    }
}
