//! The source of randomness: injected, so that a simulation can seed it.
//!
//! This is the only module of the store that uses the system's randomness.

use std::{io, time::Duration};

/// A source of unpredictable random bytes.
pub trait Entropy: Clone + Send + Sync + 'static {
    /// Fills `bytes`.
    ///
    /// # Errors
    ///
    /// When the source fails; `bytes` must then not be used.
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()>;
}

/// The operating system's generator.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemEntropy;

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "the injected source")]
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        getrandom::fill(bytes).map_err(io::Error::other)
    }
}

/// Waits after failures, each drawn between `least` and three times the one
/// before, at most `most`: *decorrelated jitter*.
///
/// Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog,
/// 2015. Two contenders that collided draw from different ranges the next time.
#[derive(Clone, Debug)]
pub(crate) struct Jitter {
    least: Duration,
    most: Duration,
    last: Duration,
}

impl Jitter {
    pub(crate) fn new(least: Duration, most: Duration) -> Self {
        Self {
            least,
            most,
            last: least,
        }
    }

    /// The next waiting time.
    pub(crate) fn next(&mut self, entropy: &impl Entropy) -> Duration {
        let mut bytes = [0; 8];
        let fraction = match entropy.fill(&mut bytes) {
            Ok(()) => u64::from_le_bytes(bytes) >> 32,
            // Without randomness, the longest wait.
            Err(_) => u64::from(u32::MAX),
        };
        let least = u64::try_from(self.least.as_micros()).unwrap_or(u64::MAX);
        let last = u64::try_from(self.last.as_micros()).unwrap_or(u64::MAX);
        let span = last.saturating_mul(3).saturating_sub(least);
        let drawn = (u128::from(span) * u128::from(fraction)) >> 32;
        let drawn = least.saturating_add(u64::try_from(drawn).unwrap_or(u64::MAX));
        self.last = Duration::from_micros(drawn).min(self.most);
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::test_util::FixedEntropy;

    /// Would catch waits that exceed the maximum, or stop growing.
    #[test]
    fn waits_stay_between_least_and_most() {
        let (least, most) = (Duration::from_millis(1), Duration::from_millis(100));
        for byte in [0, 1, 127, 255] {
            let mut jitter = Jitter::new(least, most);
            for _ in 0..50 {
                let wait = jitter.next(&FixedEntropy(Some(byte)));
                assert!((least..=most).contains(&wait), "{wait:?}");
            }
        }
        let mut jitter = Jitter::new(least, most);
        (0..50).for_each(|_| {
            jitter.next(&FixedEntropy(Some(255)));
        });
        assert_eq!(jitter.next(&FixedEntropy(Some(255))), most);
    }
}
