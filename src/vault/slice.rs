//! The number of tokens per request: fewer if they are large.

/// The maximum number of tokens per request.
pub(super) const MAX_TOKENS: usize = 256;
const MIN_TOKENS: usize = 8;
/// The intended maximum of bytes per reply: larger ones block Redis.
const BYTES: usize = 1 << 20;

/// Grows while tokens are small, and shrinks otherwise.
pub(super) struct SliceSize {
    tokens: usize,
    most: usize,
}

impl Default for SliceSize {
    fn default() -> Self {
        Self {
            tokens: 2 * MIN_TOKENS,
            most: MAX_TOKENS,
        }
    }
}

impl SliceSize {
    /// Starts with at most this many tokens.
    pub(super) fn of(most: usize) -> Self {
        let most = most.clamp(1, MAX_TOKENS);
        Self { tokens: most, most }
    }

    /// How many tokens to request.
    pub(super) fn tokens(&self) -> usize {
        self.tokens
    }

    /// Adapts to the size of the last reply.
    pub(super) fn adapt(&mut self, bytes: usize) {
        self.tokens = if bytes > BYTES {
            (self.tokens / 2).max(MIN_TOKENS.min(self.most))
        } else if bytes < BYTES / 4 {
            (self.tokens * 2).min(self.most)
        } else {
            self.tokens
        };
    }
}
