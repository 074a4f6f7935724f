//! What the acknowledgements of a world promise, and what the server has for that.

use std::fmt;

use haechi_history::Durability;
use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The most replicas of Redis.
const MAX_REPLICAS: usize = 10;

/// The durability that the processes of a world ask for. Times are in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DurabilityKnobs {
    /// How durable an append or a mutation must be: not `memory`.
    pub level: Durability,
    /// Whether the server is valkey-server 9 rather than redis-server 7.0, which has no
    /// WAITAOF.
    pub valkey: bool,
    /// The replicas of Redis. A fault that promotes one promotes any of them.
    pub replicas: usize,
    /// How long after a write replicas and disk acknowledge it.
    pub delay: u64,
    /// How long a write waits for that.
    pub patience: u64,
}

impl DurabilityKnobs {
    /// In one world of four.
    pub(super) fn draw(rng: &mut impl Rng, production_times: bool) -> Option<Self> {
        if !rng.random_ratio(1, 4) {
            return None;
        }
        let replicas = rng.random_range(1..=2);
        let is_fsync = rng.random_bool(0.5);
        let asked = rng.random_range(1..=replicas);
        let level = match is_fsync {
            true => Durability::Fsync,
            false => Durability::Replicas(u32::try_from(asked).unwrap_or(1)),
        };
        Some(Self {
            level,
            valkey: rng.random_bool(0.5) || is_fsync,
            replicas,
            delay: [0, 5, 20, 80, 200][rng.random_range(0..5)],
            patience: match production_times {
                true => 2000,
                false => rng.random_range(50..=500),
            },
        })
    }

    /// Why no world can be built from this; what was drawn has no reason.
    pub(super) fn wrong(&self) -> Option<&'static str> {
        let is_possible = match self.level {
            Durability::Memory => false,
            Durability::Fsync => self.valkey,
            Durability::Replicas(count) => {
                count > 0 && usize::try_from(count).is_ok_and(|count| count <= self.replicas)
            }
        };
        if !is_possible {
            return Some("the server cannot make a write as durable as asked, or nothing is asked");
        }
        if self.replicas > MAX_REPLICAS || self.patience == 0 {
            return Some("there are more than 10 replicas of Redis, or no time to wait for them");
        }
        None
    }
}

impl fmt::Display for DurabilityKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}, waited for {} ms; {} with {} replicas, which acknowledge after {} ms, as the disk",
            self.level,
            self.patience,
            if self.valkey { "valkey 9" } else { "redis 7.0" },
            self.replicas,
            self.delay
        )
    }
}
