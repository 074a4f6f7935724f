//! A batch travels as two scripts.

use haechi_store_redis::{
    AttemptError,
    audit::store::{Batch, Reply},
    chain::Head,
};

use crate::mutants::bug::{PlantedBug, RedisAudit};

pub(in crate::mutants) struct BatchCutInTwo;

impl PlantedBug for BatchCutInTwo {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        let (first, second) = batch.records.split_at(batch.records.len() / 2);
        let (Some(last), false) = (first.last(), batch.resent) else {
            return next.append(batch).await;
        };
        let half = Batch {
            records: first,
            ..*batch
        };
        match next.append(&half).await? {
            Reply::Committed => {
                let rest = Batch {
                    base: Head::At(last.position()),
                    records: second,
                    ..*batch
                };
                next.append(&rest).await
            }
            conflict => Ok(conflict),
        }
    }
}
