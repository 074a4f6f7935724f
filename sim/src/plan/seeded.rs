//! Seeded randomness: one generator for each purpose.

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

/// A generator for one purpose of one world, so that an additional draw for one
/// purpose does not change the others.
pub(crate) fn generator(seed: u64, purpose: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv1a(purpose.as_bytes()).to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

/// FNV-1a (Fowler, Noll, Vo): stable across releases, unlike the standard
/// library's hasher.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    Fnv1a::default().add(bytes).0
}

/// The same hash, incrementally.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fnv1a(pub(crate) u64);

impl Default for Fnv1a {
    fn default() -> Self {
        Self(OFFSET)
    }
}

impl Fnv1a {
    pub(crate) fn add(self, bytes: &[u8]) -> Self {
        Self(bytes.iter().fold(self.0, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
        }))
    }
}
