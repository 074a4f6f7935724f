//! Pages of the chain have a number of records, whatever their size.

use haechi_store_redis::ReadError;
use redis::{Value, cmd};

use crate::mutants::bug::{PlantedBug, RedisAudit};

/// Records in a page.
const PAGE: u64 = 256;

pub(in crate::mutants) struct PagesByCount;

impl PlantedBug for PagesByCount {
    async fn read<S: RedisAudit>(
        &self,
        next: &S,
        start: u64,
        end: u64,
    ) -> Result<Vec<Vec<u8>>, ReadError> {
        let last = end.min(start + PAGE).saturating_sub(1);
        let chain = &next.keys().chain;
        let page = next
            .send(cmd("LRANGE").arg(chain).arg(start).arg(last))
            .await;
        let Ok(Value::Array(page)) = page else {
            return next.read(start, end).await;
        };
        let records = page.into_iter().filter_map(|record| match record {
            Value::BulkString(record) => Some(record),
            _ => None,
        });
        Ok(records.collect())
    }
}
