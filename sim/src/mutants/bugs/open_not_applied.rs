//! A write that can still be applied is reported as not applied.

use haechi_store_redis::audit::Resolution;

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct OpenNotApplied;

impl PlantedBug for OpenNotApplied {
    fn resolution<T>(&self, found: Resolution<T>) -> Resolution<T> {
        match found {
            Resolution::Open => Resolution::NotApplied,
            known => known,
        }
    }
}
