//! The process's own clock alone decides whether a token is past its end.

use std::time::SystemTime;

use haechi_store_redis::{
    AttemptError,
    vault::store::{Due, Load, Loaded, Observed, Page, ServerTime},
};

use super::OwnClockReveals;
use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct OwnClockRules;

impl PlantedBug for OwnClockRules {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        OwnClockReveals.load(next, what, observed).await
    }

    /// The index is asked for by the server's clock too, and so is not believed.
    async fn due<S: RedisVault>(
        &self,
        next: &S,
        own: SystemTime,
        limit: usize,
    ) -> Result<Due, AttemptError> {
        let due = next.due(own, limit).await?;
        Ok(Due {
            is_whole: false,
            ..due
        })
    }

    async fn scan<S: RedisVault>(
        &self,
        next: &S,
        cursor: u64,
        count: usize,
    ) -> Result<Page, AttemptError> {
        let mut page = next.scan(cursor, count).await?;
        page.server_time = ServerTime::new(next.wall());
        Ok(page)
    }
}
