//! Anchors: hashes attested outside the chain, against which it is verified.
//!
//! A chain that was rewritten in Redis can be consistent in itself, but not
//! with anchors kept elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::json::Token;
use super::loss::LostRange;
use super::outline::Outline;
use super::position::{EventHash, Position, Sequence};
use super::record::{EVENT_HASH, SEQUENCE, sequence};
use super::text::write_plain_string;

/// One record's hash as attested at some time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Anchor {
    /// The anchored record's sequence.
    pub sequence: Sequence,
    /// The anchored record's hash.
    pub event_hash: EventHash,
    /// When it was attested, by convention ISO 8601 in UTC with milliseconds.
    /// It is not interpreted.
    pub timestamp: String,
}

impl Anchor {
    /// The place that it attests.
    #[must_use]
    pub fn position(&self) -> Position {
        Position {
            sequence: self.sequence,
            event_hash: self.event_hash,
        }
    }

    /// Reads an anchor from one line of JSON. `None` when the line is torn:
    /// not JSON, or without a readable sequence and hash.
    pub fn parse(line: &[u8]) -> Option<Anchor> {
        let text = std::str::from_utf8(line).ok()?;
        let mut outline = Outline::of(text).ok()??;
        let (mut at, mut hash, mut time) = (None, None, None);
        while let Some(member) = outline.next().ok()? {
            let repeated = match member.value {
                Token::Number(literal) if member.name.is(SEQUENCE) => {
                    at.replace(sequence(literal)?).is_some()
                }
                Token::String(text) if member.name.is(EVENT_HASH) => hash
                    .replace(EventHash::parse(&text.to_str_lossy())?)
                    .is_some(),
                Token::String(text) if member.name.is("timestamp") => {
                    time.replace(text.to_str_lossy().into_owned()).is_some()
                }
                _ => false,
            };
            if repeated {
                return None;
            }
        }
        Some(Anchor {
            sequence: at?,
            event_hash: hash?,
            timestamp: time.unwrap_or_default(),
        })
    }

    /// The anchor as one line of JSON, without the newline.
    pub fn to_line(&self) -> String {
        let Anchor {
            sequence,
            event_hash,
            timestamp,
        } = self;
        let mut line = String::with_capacity(128);
        // Writing to a String never fails.
        let _ = write!(
            line,
            r#"{{"sequence":{sequence},"eventHash":"{event_hash}","timestamp":"#
        );
        write_plain_string(timestamp, &mut line);
        line.push('}');
        line
    }
}

/// The hashes of one sequence, in their order.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Attested {
    event_hash: EventHash,
    /// Different ones for the same sequence.
    others: Vec<EventHash>,
}

impl Attested {
    fn hashes(&self) -> impl Iterator<Item = EventHash> {
        [self.event_hash]
            .into_iter()
            .chain(self.others.iter().copied())
    }
}

/// The combined content of several anchor files.
///
/// Equal duplicates count once. Different hashes for one sequence are kept as a
/// conflict, which no chain satisfies unless it accepts the loss of one: it proves a
/// rewritten history. In which order anchors are read does not matter. O(1) memory per
/// attested hash.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Anchors {
    attested: BTreeMap<Sequence, Attested>,
    torn: u64,
}

impl Anchors {
    /// No anchors.
    pub fn new() -> Anchors {
        Anchors::default()
    }

    /// Adds an anchor. O(log n).
    pub fn insert(&mut self, anchor: &Anchor) {
        let event_hash = anchor.event_hash;
        let attested = self.attested.entry(anchor.sequence).or_insert(Attested {
            event_hash,
            others: Vec::new(),
        });
        if attested.hashes().any(|hash| hash == event_hash) {
            return;
        }
        attested.others.push(event_hash);
        if event_hash < attested.event_hash {
            attested.others.pop();
            attested
                .others
                .insert(0, std::mem::replace(&mut attested.event_hash, event_hash));
        }
        attested.others.sort_unstable();
    }

    /// Adds one line of an anchor file, with or without its newline. A blank
    /// line is ignored; one that is not an anchor is counted as torn.
    pub fn read_line(&mut self, line: &[u8]) {
        if line.trim_ascii().is_empty() {
            return;
        }
        match Anchor::parse(line) {
            Some(anchor) => self.insert(&anchor),
            None => self.torn += 1,
        }
    }

    /// Adds the text of a complete anchor file.
    pub fn read_text(&mut self, text: &[u8]) {
        text.split(|byte| *byte == b'\n')
            .for_each(|line| self.read_line(line));
    }

    /// How many sequences are anchored.
    pub fn len(&self) -> usize {
        self.attested.len()
    }

    /// Whether nothing is anchored.
    pub fn is_empty(&self) -> bool {
        self.attested.is_empty()
    }

    /// How many lines were skipped because they are not anchors.
    pub fn torn(&self) -> u64 {
        self.torn
    }

    /// The highest anchored sequence.
    pub fn last_sequence(&self) -> Option<Sequence> {
        self.attested
            .last_key_value()
            .map(|(sequence, _)| *sequence)
    }

    /// The highest anchored sequence that is in none of `ranges`.
    pub(crate) fn last_outside(&self, ranges: &[LostRange]) -> Option<Sequence> {
        let is_outside =
            |sequence: &&Sequence| !ranges.iter().any(|range| range.contains(**sequence));
        self.attested.keys().rev().find(is_outside).copied()
    }

    /// The hash attested for `sequence`; `None` also in a conflict.
    pub fn get(&self, sequence: Sequence) -> Option<EventHash> {
        let attested = self.attested.get(&sequence)?;
        attested.others.is_empty().then_some(attested.event_hash)
    }

    /// The hashes attested for `sequence`, more than one in a conflict, in their order.
    pub fn hashes(&self, sequence: Sequence) -> impl Iterator<Item = EventHash> {
        self.attested
            .get(&sequence)
            .into_iter()
            .flat_map(Attested::hashes)
    }

    /// The anchored positions up to `last`, in order, without those in a conflict.
    pub fn positions_up_to(&self, last: Sequence) -> impl Iterator<Item = Position> {
        self.attested
            .range(..=last)
            .filter(|(_, attested)| attested.others.is_empty())
            .map(|(sequence, attested)| Position {
                sequence: *sequence,
                event_hash: attested.event_hash,
            })
    }

    /// The sequences for which different hashes are attested, in order.
    pub fn conflicts(&self) -> impl Iterator<Item = Sequence> {
        self.attested
            .iter()
            .filter(|(_, attested)| !attested.others.is_empty())
            .map(|(sequence, _)| *sequence)
    }

    /// All attested positions, in order.
    pub(crate) fn positions(&self) -> impl Iterator<Item = Position> {
        self.attested.iter().flat_map(|(sequence, attested)| {
            attested.hashes().map(|event_hash| Position {
                sequence: *sequence,
                event_hash,
            })
        })
    }
}

impl Extend<Anchor> for Anchors {
    fn extend<I: IntoIterator<Item = Anchor>>(&mut self, anchors: I) {
        anchors.into_iter().for_each(|anchor| self.insert(&anchor));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &str = r#"{"sequence":4,"eventHash":"zBtp8hRZRBjJ_IIT8sOtp2dZmjsJaq-IK59fLTyK5Sg","timestamp":"2025-10-09T08:53:23.000Z"}"#;

    #[test]
    fn a_line_reads_back_byte_for_byte() {
        let anchor = Anchor::parse(LINE.as_bytes()).unwrap();
        assert_eq!(anchor.sequence.get(), 4);
        assert_eq!(anchor.to_line(), LINE);
        let odd = Anchor {
            timestamp: "\"\n\\😀".to_owned(),
            ..anchor
        };
        assert_eq!(Anchor::parse(odd.to_line().as_bytes()), Some(odd));
    }

    #[test]
    fn torn_lines_are_skipped_and_counted() {
        let mut anchors = Anchors::new();
        for cut in 1..LINE.len() {
            anchors.read_line(&LINE.as_bytes()[..cut]);
        }
        assert_eq!((anchors.len(), anchors.torn()), (0, LINE.len() as u64 - 1));
        let mut anchors = Anchors::new();
        anchors.read_text(format!("{LINE}\r\n\n  \n{LINE}{LINE}\n\n[]\n\"x\"\n{LINE}").as_bytes());
        assert_eq!((anchors.len(), anchors.torn()), (1, 3));
    }

    #[test]
    fn different_hashes_for_one_sequence_are_a_conflict() {
        let anchor = Anchor::parse(LINE.as_bytes()).unwrap();
        let other = Anchor {
            event_hash: EventHash::from_bytes([1; 32]),
            ..anchor.clone()
        };
        let mut anchors = Anchors::new();
        anchors.extend([anchor.clone(), anchor.clone()]);
        assert_eq!(anchors.conflicts().count(), 0);
        anchors.extend([other, anchor.clone()]);
        assert_eq!(anchors.conflicts().collect::<Vec<_>>(), [anchor.sequence]);
        assert_eq!(anchors.len(), 1);
    }

    /// Would catch anchors that attest something else when their files are read in another
    /// order, and a third hash that is forgotten.
    #[test]
    fn the_order_of_conflicting_anchors_does_not_matter() {
        let anchor = |sequence, hash| Anchor {
            sequence: Sequence::new(sequence).unwrap(),
            event_hash: EventHash::from_bytes([hash; 32]),
            timestamp: String::new(),
        };
        let read = [
            anchor(4, 2),
            anchor(4, 3),
            anchor(4, 1),
            anchor(4, 2),
            anchor(3, 9),
        ];
        let (mut one, mut other) = (Anchors::new(), Anchors::new());
        one.extend(read.clone());
        other.extend(read.into_iter().rev());
        assert_eq!(one, other);
        let at = Sequence::new(4).unwrap();
        let hashes: Vec<_> = one.hashes(at).map(|hash| hash.as_bytes()[0]).collect();
        assert_eq!((hashes, one.get(at)), (vec![1, 2, 3], None));
        let positions: Vec<_> = one
            .positions_up_to(at)
            .map(|at| at.sequence.get())
            .collect();
        assert_eq!(positions, [3]);
    }

    /// Would catch another writer's member that is read as the sequence, the
    /// hash or the time.
    #[test]
    fn further_members_are_ignored() {
        let anchor = Anchor::parse(LINE.as_bytes()).unwrap();
        let further = LINE.replacen('{', r#"{"height":7,"note":"x","by":"y","#, 1);
        assert_eq!(Anchor::parse(further.as_bytes()), Some(anchor.clone()));
        for repeated in [
            r#"{"sequence":4,"#.to_owned(),
            format!(r#"{{"eventHash":"{}","#, anchor.event_hash),
            r#"{"timestamp":"","#.to_owned(),
        ] {
            let line = LINE.replacen('{', &repeated, 1);
            assert_eq!(Anchor::parse(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn anchored_sequences_are_found() {
        let anchor = Anchor::parse(LINE.as_bytes()).unwrap();
        let mut anchors = Anchors::new();
        assert!(anchors.is_empty());
        assert_eq!(
            (anchors.last_sequence(), anchors.get(anchor.sequence)),
            (None, None)
        );
        anchors.insert(&anchor);
        assert!(!anchors.is_empty());
        assert_eq!(anchors.last_sequence(), Some(anchor.sequence));
        assert_eq!(anchors.get(anchor.sequence), Some(anchor.event_hash));
        assert_eq!(anchors.get(Sequence::FIRST), None);
    }
}
