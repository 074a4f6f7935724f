//! What happened in a world, as lines of text and as one hash of them.

/// A running record of everything observable in a world.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: u64,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its lines too, if asked; the hash is the same.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hash: OFFSET,
            lines: keep.then(Vec::new),
        }
    }

    /// Adds one event.
    pub(crate) fn event(&mut self, line: &str) {
        self.hash = absorb(self.hash, line.as_bytes());
        self.hash = absorb(self.hash, b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_owned());
        }
    }

    /// The hash of all events so far, and the events if they were kept.
    pub(crate) fn finish(self) -> (u64, Vec<String>) {
        (self.hash, self.lines.unwrap_or_default())
    }
}

const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn absorb(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(PRIME)
    })
}

/// FNV-1a (Fowler, Noll, Vo): stable across releases, which the standard
/// library's hasher does not promise.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    absorb(OFFSET, bytes)
}
