//! Every command dials: nobody waits for the connection of another one.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct DialsEach;

impl PlantedBug for DialsEach {
    fn dials_each(&self) -> bool {
        true
    }
}
