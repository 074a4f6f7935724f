//! Nobody notices that a primary was deposed: Sentinels are asked at a dial only, writes
//! go on although none answers, or what one has said is forgotten.

use std::time::Duration;

use haechi_store_redis::redis::SentinelTimes;

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct DeposedPrimaryKept;

impl PlantedBug for DeposedPrimaryKept {
    fn sentinel_times(&self, mut given: SentinelTimes) -> SentinelTimes {
        given.every = Duration::MAX;
        given
    }
}

pub(in crate::mutants) struct FailoverForgotten;

impl PlantedBug for FailoverForgotten {
    fn sentinel_times(&self, mut given: SentinelTimes) -> SentinelTimes {
        given.forget = Duration::ZERO;
        given
    }
}

pub(in crate::mutants) struct SilenceIgnored;

impl PlantedBug for SilenceIgnored {
    fn sentinel_times(&self, mut given: SentinelTimes) -> SentinelTimes {
        given.stop_after = None;
        given
    }
}
