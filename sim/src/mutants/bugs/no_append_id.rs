//! Appends have no identity: a head of the same hash is taken for one's own.

use haechi_store_redis::chain::AppendId;

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct NoAppendId;

impl PlantedBug for NoAppendId {
    fn append_id(&self, _: AppendId) -> AppendId {
        AppendId::from_bytes([0; 16])
    }
}
