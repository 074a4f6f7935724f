//! A lock is released without comparing whose it is.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct LockNotCompared;

impl PlantedBug for LockNotCompared {
    fn releases_any(&self) -> bool {
        true
    }
}
