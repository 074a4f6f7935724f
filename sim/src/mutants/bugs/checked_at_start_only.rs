//! A store that asks whether its Redis evicts when it starts, and not at later connections.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct CheckedAtStartOnly;

impl PlantedBug for CheckedAtStartOnly {
    fn checks_connections(&self) -> bool {
        false
    }
}
