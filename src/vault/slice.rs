//! How many tokens one request asks for: fewer if they are large.

/// Tokens looked at in one request, at most.
pub(super) const MOST: usize = 256;
const LEAST: usize = 8;
/// Bytes that a request aims to stay below: larger ones hold Redis up.
const BYTES: usize = 1 << 20;

/// Grows while tokens turn out to be small, and shrinks when they do not.
pub(super) struct SliceSize {
    tokens: usize,
    most: usize,
}

impl Default for SliceSize {
    fn default() -> Self {
        Self {
            tokens: 2 * LEAST,
            most: MOST,
        }
    }
}

impl SliceSize {
    /// At most this many tokens.
    pub(super) fn of(most: usize) -> Self {
        let most = most.clamp(1, MOST);
        Self { tokens: most, most }
    }

    /// How many to ask for.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// What was asked for last was so large.
    pub(super) fn met(&mut self, bytes: usize) {
        self.tokens = if bytes > BYTES {
            (self.tokens / 2).max(LEAST.min(self.most))
        } else if bytes < BYTES / 4 {
            (self.tokens * 2).min(self.most)
        } else {
            self.tokens
        };
    }
}
