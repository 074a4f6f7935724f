//! The events of a run, as lines of text and as one hash of them.

use crate::plan::Fnv1a;

/// All observable events, in order.
#[derive(Debug)]
pub(crate) struct Trace {
    hash: Fnv1a,
    lines: Option<Vec<String>>,
}

impl Trace {
    /// A trace that keeps its lines too, if asked; the hash is the same.
    pub(crate) fn new(keep: bool) -> Self {
        Self {
            hash: Fnv1a::default(),
            lines: keep.then(Vec::new),
        }
    }

    /// Adds one event.
    pub(crate) fn event(&mut self, line: &str) {
        self.hash = self.hash.add(line.as_bytes()).add(b"\n");
        if let Some(lines) = &mut self.lines {
            lines.push(line.to_owned());
        }
    }

    /// The hash of all events so far, and the events if they were kept.
    pub(crate) fn finish(self) -> (u64, Vec<String>) {
        (self.hash.0, self.lines.unwrap_or_default())
    }
}
