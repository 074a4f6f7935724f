//! Records: sealed by this process, and read from storage.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use super::json::{Refusal, Token};
use super::number;
use super::outline::Outline;
use super::position::{AppendId, EventHash, Position, Sequence};

/// The member that makes an event a record.
pub(crate) const INTEGRITY: &str = "auditIntegrity";

/// A sealed record: its text and its position. `Debug` shows the position.
#[derive(Clone, PartialEq, Eq)]
pub struct Record {
    text: String,
    integrity: Range<usize>,
    position: Position,
}

impl Record {
    pub(crate) fn new(text: String, integrity: Range<usize>, position: Position) -> Record {
        Record {
            text,
            integrity,
            position,
        }
    }

    /// The record's position once it is stored.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The JSON to store, canonical, on one line.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The JSON of the record's `auditIntegrity`, a part of [`Record::text`].
    pub fn integrity(&self) -> &str {
        &self.text[self.integrity.clone()]
    }

    /// The JSON to store.
    pub fn into_text(self) -> String {
        self.text
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Record")
            .field("position", &self.position)
            .finish_non_exhaustive()
    }
}

/// Why a stored text cannot be read as a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Malformed {
    /// The text is not JSON in UTF-8.
    #[error("the stored record is not JSON: reading stopped at byte {offset}; verify the chain")]
    NotJson {
        /// Where reading stopped.
        offset: usize,
    },
    /// There is no `auditIntegrity` object, or more than one.
    #[error("the stored record has no auditIntegrity object of its own; verify the chain")]
    NoIntegrity,
    /// A member of `auditIntegrity` that is read here is repeated.
    #[error("the stored record's auditIntegrity repeats a member; verify the chain")]
    Repeated,
    /// The sequence is absent or no integer from 1 to 2^53 − 1.
    #[error("the stored record's sequence is not an integer from 1 to 2^53 - 1; verify the chain")]
    Sequence,
    /// The hash is absent or not 43 characters of base64url.
    #[error("the stored record's eventHash is not a SHA-256 in base64url; verify the chain")]
    EventHash,
    /// The previous hash is neither absent, null, nor a hash.
    #[error("the stored record's previousHash is not a SHA-256 in base64url; verify the chain")]
    PreviousHash,
}

/// The links of a stored record, which any replica may have written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct StoredRecord {
    /// The position that the record claims.
    pub position: Position,
    /// The hash it links to; `None` where that is null or absent.
    pub previous: Option<EventHash>,
    /// Its append id; `None` where it has none or one that is not 128 bits.
    pub append_id: Option<AppendId>,
}

impl StoredRecord {
    /// Reads a record's links, in any member order and spelling. The hash is
    /// not verified and the other members are skipped, so their numbers, depth
    /// and lone surrogates do not matter. O(n).
    ///
    /// # Errors
    /// [`Malformed`] when the text has no readable links.
    pub fn parse(text: &[u8]) -> Result<StoredRecord, Malformed> {
        let text = utf8(text)?;
        let mut outline = Outline::of(text)?.ok_or(Malformed::NoIntegrity)?;
        let mut found = None;
        while let Some(member) = outline.next()? {
            if member.name.is(INTEGRITY)
                && found
                    .replace(member.value_start..member.range.end)
                    .is_some()
            {
                return Err(Malformed::NoIntegrity);
            }
        }
        let integrity = found.ok_or(Malformed::NoIntegrity)?;
        Links::read(&text[integrity])?.complete()
    }

    /// Reads the links from the JSON of an `auditIntegrity` object alone, which
    /// is the content of the `head` key. O(n).
    ///
    /// # Errors
    /// As [`StoredRecord::parse`].
    pub fn parse_integrity(text: &[u8]) -> Result<StoredRecord, Malformed> {
        Links::read(utf8(text)?)?.complete()
    }
}

/// The previous hash in a record.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) enum Previous {
    /// Null or absent, which are equal.
    #[default]
    None,
    Hash(EventHash),
    /// Anything else.
    Other,
}

/// What can be read of an `auditIntegrity` object, even an invalid one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Links {
    pub(crate) sequence: Option<Sequence>,
    pub(crate) previous: Previous,
    pub(crate) event_hash: Option<EventHash>,
    pub(crate) append_id: Option<AppendId>,
    /// The `eventHash` member in the object's text, without commas.
    pub(crate) event_hash_member: Option<Range<usize>>,
}

impl Links {
    /// Reads `text`, a JSON object.
    pub(crate) fn read(text: &str) -> Result<Links, Malformed> {
        let mut outline = Outline::of(text)?.ok_or(Malformed::NoIntegrity)?;
        let mut links = Links::default();
        let mut seen = [false; KNOWN.len()];
        while let Some(member) = outline.next()? {
            let name = member.name.to_str_lossy();
            let Some(known) = KNOWN.iter().position(|known| name == *known) else {
                continue;
            };
            if std::mem::replace(&mut seen[known], true) {
                return Err(Malformed::Repeated);
            }
            let string = match member.value {
                Token::String(string) => string.to_str_lossy(),
                _ => Cow::Borrowed(""),
            };
            match (KNOWN[known], member.value) {
                (SEQUENCE, Token::Number(literal)) => links.sequence = sequence(literal),
                (PREVIOUS_HASH, Token::Literal("null")) => {}
                (PREVIOUS_HASH, _) => {
                    links.previous =
                        EventHash::parse(&string).map_or(Previous::Other, Previous::Hash);
                }
                (EVENT_HASH, _) => {
                    links.event_hash = EventHash::parse(&string);
                    links.event_hash_member = Some(member.range);
                }
                (APPEND_ID, _) => links.append_id = AppendId::parse(&string),
                _ => {}
            }
        }
        Ok(links)
    }

    fn complete(self) -> Result<StoredRecord, Malformed> {
        let sequence = self.sequence.ok_or(Malformed::Sequence)?;
        let event_hash = self.event_hash.ok_or(Malformed::EventHash)?;
        let previous = match self.previous {
            Previous::None => None,
            Previous::Hash(hash) => Some(hash),
            Previous::Other => return Err(Malformed::PreviousHash),
        };
        let position = Position {
            sequence,
            event_hash,
        };
        Ok(StoredRecord {
            position,
            previous,
            append_id: self.append_id,
        })
    }
}

pub(crate) const SEQUENCE: &str = "sequence";
const PREVIOUS_HASH: &str = "previousHash";
pub(crate) const EVENT_HASH: &str = "eventHash";
const APPEND_ID: &str = "appendId";
const KNOWN: [&str; 4] = [SEQUENCE, PREVIOUS_HASH, EVENT_HASH, APPEND_ID];

/// A sequence in any spelling of its number.
pub(crate) fn sequence(literal: &str) -> Option<Sequence> {
    if let Ok(integer) = literal.parse() {
        return Sequence::new(integer);
    }
    let mut canonical = String::new();
    number::write(literal, &mut canonical).ok()?;
    Sequence::new(canonical.parse().ok()?)
}

fn utf8(text: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(text).map_err(|error| Malformed::NotJson {
        offset: error.valid_up_to(),
    })
}

impl From<Refusal> for Malformed {
    fn from(refusal: Refusal) -> Malformed {
        Malformed::NotJson {
            offset: refusal.offset,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "VFMHkPuPVU5epM30kebgbibMGK7Hj7Ncb38mP9Tbyzs";

    #[test]
    fn links_are_read_in_any_order_and_spelling() {
        let text = format!(
            r#" {{"x":[{{"auditIntegrity":1}}],"n":1e999,"\ud800":"\udfff",
                "audit\u0049ntegrity":{{"eventHash":"{HASH}","deep":[{{"sequence":7}}],
                "sequence":2.0,"previousHash":"{HASH}","appendId":"AAAAAAAAAAAAAAAAAAAAAA"}}}} "#
        );
        let hash = EventHash::parse(HASH).unwrap();
        let stored = StoredRecord::parse(text.as_bytes()).unwrap();
        assert_eq!(
            stored.position,
            Position {
                sequence: Sequence::new(2).unwrap(),
                event_hash: hash
            }
        );
        assert_eq!(stored.previous, Some(hash));
        assert_eq!(stored.append_id, Some(AppendId::from_bytes([0; 16])));
        let nested = format!(
            r#"{{"a":{}1{},"auditIntegrity":{{"sequence":1,"eventHash":"{HASH}","appendId":"mine"}}}}"#,
            "[".repeat(100_000),
            "]".repeat(100_000)
        );
        let stored = StoredRecord::parse(nested.as_bytes()).unwrap();
        assert_eq!((stored.previous, stored.append_id), (None, None));
    }

    #[test]
    fn missing_links_are_named() {
        let of = |integrity: &str| StoredRecord::parse_integrity(integrity.as_bytes()).unwrap_err();
        assert_eq!(of("{"), Malformed::NotJson { offset: 1 });
        assert_eq!(of("[]"), Malformed::NoIntegrity);
        assert_eq!(of("{}"), Malformed::Sequence);
        assert_eq!(of(r#"{"sequence":0}"#), Malformed::Sequence);
        assert_eq!(of(r#"{"sequence":1.5}"#), Malformed::Sequence);
        assert_eq!(of(r#"{"sequence":1,"sequence":1}"#), Malformed::Repeated);
        assert_eq!(
            of(r#"{"sequence":1,"eventHash":"x"}"#),
            Malformed::EventHash
        );
        let other = format!(r#"{{"sequence":1,"eventHash":"{HASH}","previousHash":""}}"#);
        assert_eq!(of(&other), Malformed::PreviousHash);
        let record = |text: &[u8]| StoredRecord::parse(text).unwrap_err();
        assert_eq!(record(b"null"), Malformed::NoIntegrity);
        assert_eq!(record(b"{}"), Malformed::NoIntegrity);
        assert_eq!(
            record(br#"{"auditIntegrity":{},"auditIntegrity":{}}"#),
            Malformed::NoIntegrity
        );
        assert_eq!(record(b"\xff"), Malformed::NotJson { offset: 0 });
    }
}
