//! Randomness for tests: the same in every run, or none.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use crate::entropy::Entropy;

/// Bytes from a seed, by SplitMix64. Clones share the state.
///
/// Source: Steele, Lea, Flood, "Fast Splittable Pseudorandom Number
/// Generators", OOPSLA 2014.
#[derive(Clone, Debug, Default)]
pub struct SplitMixEntropy(Arc<AtomicU64>);

/// The golden ratio's fraction, odd: all states occur before one repeats.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

impl SplitMixEntropy {
    /// The generator of a seed.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(AtomicU64::new(seed)))
    }

    /// The next number.
    #[must_use]
    pub fn draw(&self) -> u64 {
        let state = self.0.fetch_add(STEP, Ordering::Relaxed).wrapping_add(STEP);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

impl Entropy for SplitMixEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.draw().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// Bytes that are all equal; with `None`, a source that fails.
#[derive(Clone, Copy, Debug)]
pub struct FixedEntropy(pub Option<u8>);

impl Entropy for FixedEntropy {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0.ok_or(io::ErrorKind::Other)?);
        Ok(())
    }
}
