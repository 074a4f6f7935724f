//! Seeded randomness for a system under test.

use rand::{Rng, RngExt};
use rand_chacha::ChaCha8Rng;

/// Randomness that follows from the seed.
#[derive(Clone, Debug)]
pub struct Random(ChaCha8Rng);

impl Random {
    pub(super) fn new(generator: ChaCha8Rng) -> Self {
        Self(generator)
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 to `n - 1`; 0 if `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        self.0.random_range(0..n.max(1))
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}
