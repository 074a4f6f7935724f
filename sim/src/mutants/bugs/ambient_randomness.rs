//! Whether a command more is sent is decided by the hash of a map, which the
//! standard library seeds anew.

use std::hash::{BuildHasher, RandomState};

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply},
};
use redis::cmd;

use crate::mutants::bug::{PlantedBug, RedisAudit};

pub(in crate::mutants) struct AmbientRandomness;

impl PlantedBug for AmbientRandomness {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        if RandomState::new().hash_one(0).is_multiple_of(2) {
            next.send(&cmd("PING")).await?;
        }
        next.append(batch).await
    }
}
