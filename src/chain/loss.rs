//! Records that a chain has lost, and the record by which an operator accepts
//! that.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use super::{Event, EventHash, InvalidEvent, Position, Sequence, StoredRecord};

/// The operation of a record that accepts a loss.
pub const ROLLBACK_ACCEPTED: &str = "audit:rollback-accepted";
/// The operation of a record of a repair, which may accept a loss.
pub const REPAIRED: &str = "audit:repaired";

/// The first and the last sequence whose records were lost. Its text form is
/// `A..B`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LostRange {
    first: Sequence,
    last: Sequence,
}

impl LostRange {
    /// From `first` to `last`, both included; `None` if that is no sequence.
    #[must_use]
    pub fn new(first: Sequence, last: Sequence) -> Option<Self> {
        (first <= last).then_some(Self { first, last })
    }

    /// The first lost sequence.
    #[must_use]
    pub fn first(self) -> Sequence {
        self.first
    }

    /// The last lost sequence.
    #[must_use]
    pub fn last(self) -> Sequence {
        self.last
    }

    /// Whether `sequence` is one of them.
    #[must_use]
    pub fn contains(self, sequence: Sequence) -> bool {
        self.first <= sequence && sequence <= self.last
    }
}

impl fmt::Display for LostRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.first, self.last)
    }
}

impl FromStr for LostRange {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let sequence = |text: &str| text.parse().ok().and_then(Sequence::new);
        text.split_once("..")
            .and_then(|(first, last)| Self::new(sequence(first)?, sequence(last)?))
            .ok_or("give the first and the last lost sequence, both included, as in 120..134")
    }
}

/// What was lost, as an accepting record states it: {from, to, headHash}.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Lost", into = "Lost")]
pub struct Loss {
    /// The lost sequences.
    pub range: LostRange,
    /// The hash of the last lost record.
    pub head_hash: EventHash,
}

impl Loss {
    /// Whether `position` can be one of the lost records. The last one is known by
    /// its hash.
    #[must_use]
    pub fn covers(&self, position: Position) -> bool {
        self.range.contains(position.sequence)
            && (position.sequence < self.range.last || position.event_hash == self.head_hash)
    }

    /// What the code of an accepting record authenticates.
    #[must_use]
    pub fn authenticated(&self) -> String {
        format!("{}:{}", self.range, self.head_hash)
    }

    /// The event that accepts this loss, at `timestamp` (ISO-8601), authenticated
    /// by `mac`.
    ///
    /// # Errors
    ///
    /// [`InvalidEvent`], which these texts cannot cause.
    pub fn accepted(&self, timestamp: &str, mac: Option<&str>) -> Result<Event, InvalidEvent> {
        Event::from_serialize(&Accepting {
            timestamp: timestamp.into(),
            operation: ROLLBACK_ACCEPTED.into(),
            lost: *self,
            mac: mac.map(Into::into),
        })
    }
}

/// Whether `losses` explain that a chain lacks these records of one sequence: each loss
/// at most one of them, and its last one by the hash. A loss is known by its last hash,
/// however often it was accepted.
pub(crate) fn explain(
    losses: &[Loss],
    sequence: Sequence,
    missing: impl IntoIterator<Item = EventHash>,
) -> bool {
    let mut missing: Vec<_> = missing.into_iter().collect();
    let covering = losses.iter().filter(|loss| loss.range.contains(sequence));
    let (last, mut inside): (Vec<&Loss>, Vec<&Loss>) =
        covering.partition(|loss| loss.range.last == sequence);
    missing.retain(|hash| !last.iter().any(|loss| loss.head_hash == *hash));
    inside.sort_by_key(|loss| loss.head_hash);
    inside.dedup_by_key(|loss| loss.head_hash);
    missing.len() <= inside.len()
}

/// A stored record that accepts a loss. Its hash is not verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AcceptedLoss {
    /// The position that the record claims.
    pub position: Position,
    /// The accepted loss.
    pub loss: Loss,
    /// The code over [`Loss::authenticated`]; who can write Redis can forge a
    /// record, but not its code.
    pub mac: Option<String>,
}

impl AcceptedLoss {
    /// Reads a stored record; `None` if it accepts no loss. O(n).
    #[must_use]
    pub fn of_record(text: &[u8]) -> Option<Self> {
        // Most records are others.
        let text = std::str::from_utf8(text).ok()?;
        let operations = [ROLLBACK_ACCEPTED, REPAIRED];
        if !operations.iter().any(|operation| text.contains(operation)) {
            return None;
        }
        let accepting: Accepting = serde_json::from_str(text).ok()?;
        if !operations.contains(&accepting.operation.as_str()) {
            return None;
        }
        Some(Self {
            position: StoredRecord::parse(text.as_bytes()).ok()?.position,
            loss: accepting.lost,
            mac: accepting.mac,
        })
    }
}

#[derive(Serialize, Deserialize)]
struct Accepting {
    timestamp: String,
    operation: String,
    lost: Loss,
    #[serde(skip_serializing_if = "Option::is_none")]
    mac: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Lost {
    from: u64,
    to: u64,
    head_hash: String,
}

impl From<Loss> for Lost {
    fn from(loss: Loss) -> Self {
        Self {
            from: loss.range.first.get(),
            to: loss.range.last.get(),
            head_hash: loss.head_hash.to_text(),
        }
    }
}

impl TryFrom<Lost> for Loss {
    type Error = &'static str;

    fn try_from(lost: Lost) -> Result<Self, Self::Error> {
        let (first, last) = (Sequence::new(lost.from), Sequence::new(lost.to));
        let range = first
            .zip(last)
            .and_then(|(first, last)| LostRange::new(first, last));
        range
            .zip(EventHash::parse(&lost.head_hash))
            .map(|(range, head_hash)| Self { range, head_hash })
            .ok_or("no range of sequences and a hash")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Head;

    fn loss() -> Loss {
        Loss {
            range: "5..9".parse().unwrap(),
            head_hash: EventHash::from_bytes([3; 32]),
        }
    }

    /// Would catch members that are removed before they are stored, or written
    /// in a form that is not read.
    #[test]
    fn an_accepting_record_reads_back() {
        for mac in [None, Some("c0de")] {
            let event = loss().accepted("2026-01-01T00:00:00.000Z", mac).unwrap();
            let record = event.seal(None, &Head::Empty).unwrap();
            let read = AcceptedLoss::of_record(record.text().as_bytes()).unwrap();
            assert_eq!(
                (read.position, read.loss, read.mac.as_deref()),
                (record.position(), loss(), mac)
            );
        }
        let other = br#"{"operation":"x","note":"audit:rollback-accepted"}"#;
        assert_eq!(AcceptedLoss::of_record(other), None);
    }

    /// Would catch an empty or reversed range.
    #[test]
    fn a_range_has_a_first_and_a_last_sequence() {
        let range: LostRange = "5..9".parse().unwrap();
        assert_eq!(range.to_string(), "5..9");
        let inside: Vec<u64> = (1..20)
            .filter(|n| range.contains(Sequence::new(*n).unwrap()))
            .collect();
        assert_eq!(inside, [5, 6, 7, 8, 9]);
        for wrong in ["", "5", "9..5", "0..4", "5..", "..", "a..b", "5..9..12"] {
            assert!(wrong.parse::<LostRange>().is_err(), "{wrong}");
        }
    }
}
