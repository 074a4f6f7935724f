//! A process sends all that its callers ask for at once, or keeps whatever they bring
//! while they wait.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct NoAdmission;

impl PlantedBug for NoAdmission {
    fn at_once(&self, _: usize) -> usize {
        usize::MAX
    }
}

pub(in crate::mutants) struct NoQueueBytes;

impl PlantedBug for NoQueueBytes {
    fn queue_bytes(&self, _: usize) -> usize {
        1 << 30
    }
}
