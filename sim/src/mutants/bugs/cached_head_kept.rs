//! The head met in a conflict is not taken over.

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply, Seen, Tail},
};

use crate::mutants::bug::{PlantedBug, RedisAudit};

pub(in crate::mutants) struct CachedHeadKept;

impl PlantedBug for CachedHeadKept {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        let reply = next.append(batch).await?;
        Ok(match reply {
            Reply::Committed => reply,
            Reply::Conflict { tail, applied } => Reply::Conflict {
                tail: Tail {
                    head: batch.base,
                    seen: Seen::Stands,
                    ..tail
                },
                applied,
            },
        })
    }
}
