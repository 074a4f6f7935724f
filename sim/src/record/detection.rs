//! After how many seeds a violation was found.

use std::collections::BTreeMap;

use serde::Serialize;

/// In how many worlds a violation was found.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Detection {
    /// Worlds in which it was.
    pub worlds: u64,
    /// The first of them.
    pub first_seed: u64,
    /// Worlds up to that one, itself included.
    pub seeds_to_detection: u64,
}

impl Detection {
    /// Counts a world, the last of `seeds`, in which `violation` was found.
    pub(crate) fn count<V: Ord>(all: &mut BTreeMap<V, Self>, violation: V, seed: u64, seeds: u64) {
        let first = Self {
            worlds: 0,
            first_seed: seed,
            seeds_to_detection: seeds,
        };
        all.entry(violation).or_insert(first).worlds += 1;
    }
}
