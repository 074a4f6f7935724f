//! A purge ends where its caller leaves, though the audit chain says that it happened.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct PurgeDropped;

impl PlantedBug for PurgeDropped {
    fn goes_on(&self) -> bool {
        false
    }
}
