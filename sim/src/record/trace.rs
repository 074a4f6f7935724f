//! The events of a run, as lines of text and as one hash of them.

use super::commands::ALTERED;
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

/// Where two traces part: the first event that differs in more than hashes and random ids;
/// if there is none, the first that differs.
pub(crate) fn parting(one: &[String], other: &[String]) -> Option<usize> {
    let differ = |at: &usize| one.get(*at) != other.get(*at);
    let gists = |at: usize| [one, other].map(|trace| trace.get(at).map(|line| gist(line)));
    let events = 0..one.len().max(other.len());
    let mut differing = events.filter(differ);
    let first = differing.clone().next();
    let in_substance = differing.find(|at| {
        let [one, other] = gists(*at);
        one != other
    });
    in_substance.or(first)
}

/// A line without hashes and random ids, that is long words that have digits; and without the names
/// of scripts that a planted bug has altered, which have none until they are loaded.
fn gist(line: &str) -> Vec<&str> {
    if let Some((call, _)) = line.split_once(": NOSCRIPT") {
        let process = call.split_once(" of ").map_or("", |(_, of)| of);
        let process = process.split(' ').next().unwrap_or_default();
        let time = line.split_whitespace().next().unwrap_or_default();
        return vec![time, process, "NOSCRIPT"];
    }
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let parts = line.split(ALTERED);
    let words = parts.flat_map(|part| part.split(|c| !is_word(c)));
    let words = words.filter(|word| !word.is_empty());
    let is_random = |word: &str| word.len() >= 20 && word.bytes().any(|c| c.is_ascii_digit());
    let blank = |word| if is_random(word) { "" } else { word };
    words.map(blank).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trace(lines: &[&str]) -> Vec<String> {
        lines.iter().map(ToString::to_string).collect()
    }

    /// Catches a parting at an event that differs in a hash only where a later one differs
    /// in what was done, and traces that differ and are taken for the same.
    #[test]
    fn traces_part_where_they_differ_in_substance() {
        let a = "105 r0 op 1 ok at 1 tszdrgcE1dO6ifcCeupOjyy-Ran_D-c44QKHbo0LIoY";
        let b = "105 r0 op 1 ok at 1 qIp38ZKoIgfEuU4T39Ols7pEcGqi_T3jwIW_eMd2kK4";
        let applied = "120 redis: append of r0 for op 3: committed";
        let refused = "120 redis: append of r0 for op 3: conflict";
        let parts = |one: &[&str], other: &[&str]| parting(&trace(one), &trace(other));
        assert_eq!(parts(&[a, applied], &[b, refused]), Some(1));
        assert_eq!(parts(&[a, applied], &[b, applied]), Some(0));
        assert_eq!(parts(&[a, applied], &[b]), Some(1));
        assert_eq!(parts(&[a, applied], &[a, applied]), None);
        assert_eq!(parts(&["105 r0 op 1 ok"], &["110 r0 op 1 ok"]), Some(0));
        // An altered script has a name once it is loaded.
        let unnamed = "100 redis: EVALSHA of r0: NOSCRIPT No matching";
        let named = "100 redis: append of r0 for op 3: NOSCRIPT No matching";
        let altered = "120 redis: append (altered) of r0 for op 3: committed";
        assert_eq!(parts(&[unnamed, altered], &[named, refused]), Some(1));
        assert_eq!(parts(&[unnamed, altered, a], &[named, applied]), Some(2));
    }
}
