//! A script that a node of a cluster refuses is sent to the next one, and to the store it
//! was refused.

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct MovedSentTwice;

impl PlantedBug for MovedSentTwice {
    fn sends_on(&self) -> bool {
        true
    }
}
