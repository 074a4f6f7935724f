//! A scan that takes its first slice for the last one.

use haechi_store_redis::{AttemptError, vault::store::Page};

use crate::mutants::bug::{PlantedBug, RedisVault};

/// Does not go on where a slice ended.
pub(in crate::mutants) struct FirstSliceOnly;

impl PlantedBug for FirstSliceOnly {
    async fn scan<S: RedisVault>(
        &self,
        next: &S,
        cursor: u64,
        count: usize,
    ) -> Result<Page, AttemptError> {
        let page = next.scan(cursor, count).await?;
        Ok(Page { cursor: 0, ..page })
    }
}
