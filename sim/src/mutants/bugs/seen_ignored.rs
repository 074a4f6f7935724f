use crate::mutants::bug::PlantedBug;

/// Keeps what was seen, and does not read it at the next start.
pub(in crate::mutants) struct SeenIgnored;

impl PlantedBug for SeenIgnored {
    fn reads_seen(&self) -> bool {
        false
    }
}
