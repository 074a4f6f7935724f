//! A process sends all that its callers ask for at once.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct NoAdmission;

impl PlantedBug for NoAdmission {
    fn at_once(&self, _: usize) -> usize {
        usize::MAX
    }
}
