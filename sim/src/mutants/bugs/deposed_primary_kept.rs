//! Sentinels are asked at a dial only: nobody notices that a primary was deposed.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct DeposedPrimaryKept;

impl PlantedBug for DeposedPrimaryKept {
    fn watches(&self) -> bool {
        false
    }
}
