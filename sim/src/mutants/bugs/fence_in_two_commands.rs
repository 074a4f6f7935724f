//! The head is compared by one command and moved by another.

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply},
};
use redis::{Value, cmd};

use super::PatchedAppend;
use crate::mutants::bug::{PlantedBug, RedisAudit};

/// Holds the append script without its comparison.
pub(in crate::mutants) struct FenceInTwoCommands(pub(in crate::mutants) PatchedAppend);

impl PlantedBug for FenceInTwoCommands {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        let mut get = cmd("GET");
        get.arg(&next.keys().head_hash);
        let expected = batch.base.hash_text();
        match next.send(&get).await {
            Ok(Value::Nil) if expected.is_empty() => self.0.run(next, batch).await,
            Ok(Value::BulkString(hash)) if hash == expected.as_bytes() => {
                self.0.run(next, batch).await
            }
            Ok(_) => next.append(batch).await,
            Err(AttemptError::Ambiguous(cause)) => Err(AttemptError::Refused(cause)),
            Err(error) => Err(error),
        }
    }
}
