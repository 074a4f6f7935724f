//! Events: what callers append, before they have a position in the chain.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use super::canonical::{Members, Renderer};
use super::json::{Refusal, RefusalKind};
use super::position::{AppendId, EventHash, Head, Position};
use super::record::{INTEGRITY, Record};
use super::sanitize::is_removed;

/// The limits for an event's text.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Limits {
    /// Longest text, in bytes of the given JSON. 1 MiB by default.
    pub max_bytes: usize,
    /// Most open containers, including the event itself. 128 by default.
    pub max_depth: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_bytes: 1 << 20,
            max_depth: 128,
        }
    }
}

/// Why a text cannot become an event.
///
/// Messages contain byte offsets and limits, and nothing of the event's
/// content, which may be secret.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEvent {
    /// The text is not JSON in UTF-8.
    #[error(
        "the event is not JSON: reading stopped at byte {offset}; send one JSON object in UTF-8"
    )]
    NotJson {
        /// Where reading stopped.
        offset: usize,
    },
    /// The text is JSON, but not an object.
    #[error("the event is not a JSON object; wrap it in one")]
    NotAnObject,
    /// An object names a member twice.
    #[error(
        "a member name is repeated at byte {offset}; give each member of an object its own name"
    )]
    RepeatedMember {
        /// The second occurrence of the name.
        offset: usize,
    },
    /// A number that is not exactly a double, so reading it would change it.
    #[error(
        "the number at byte {offset} has no exact IEEE double and would be changed by reading it; \
         send it as a string"
    )]
    NumberChanges {
        /// The offset of the number.
        offset: usize,
    },
    /// A number is beyond the largest double.
    #[error("the number at byte {offset} is larger than any IEEE double; send it as a string")]
    NumberOverflows {
        /// The offset of the number.
        offset: usize,
    },
    /// Containers are nested deeper than the limit.
    #[error("the event is nested deeper than {max_depth} at byte {offset}; flatten it")]
    TooDeep {
        /// The offset of the first container beyond the limit.
        offset: usize,
        /// The limit.
        max_depth: usize,
    },
    /// The text is longer than the limit.
    #[error(
        "the event has {bytes} bytes and the limit is {max_bytes}; shorten it or raise the limit"
    )]
    TooLarge {
        /// The text's length.
        bytes: usize,
        /// The limit.
        max_bytes: usize,
    },
    /// The value's own serialization failed.
    #[error("the event could not be serialized to JSON; check its Serialize implementation")]
    NotSerializable,
}

/// There is no next sequence: the last record's is 2^53 − 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the chain is full: no sequence follows 2^53 - 1; start a new chain")]
pub struct SequenceExhausted;

/// An event that was read, checked, sanitized and rendered, independent of its
/// position. [`Event::seal`] makes it a record.
///
/// A clone shares the text. `Debug` shows only the length.
#[derive(Clone)]
pub struct Event {
    /// Canonical, with the separators that `auditIntegrity` needs at `place`.
    text: Arc<str>,
    place: usize,
}

impl Event {
    /// Reads an event under the default [`Limits`].
    ///
    /// Members with these names are removed at every depth, without an error,
    /// after the same checks as all others: `access_token`, `authorization`,
    /// `claims`, `client_secret`, `code`, `code_verifier`, `content`,
    /// `credential`, `entry`, `id_token`, `issuer`, `labels`, `message`,
    /// `nonce`, `payload`, `plaintext`, `prompt`, `refresh_token`, `scopes`,
    /// `secret`, `signature`, `state`, `subject`, `value`. So is the event's
    /// own `auditIntegrity`. O(n log n) in the text's length.
    ///
    /// # Errors
    /// [`InvalidEvent`] when the text is not a JSON object that the chain
    /// accepts.
    pub fn from_json(text: &str) -> Result<Event, InvalidEvent> {
        let limits = Limits::default();
        check_size(text.len(), &limits)?;
        read(text, &limits)
    }

    /// Reads an event from bytes, which must be UTF-8, under `limits`.
    ///
    /// # Errors
    /// As [`Event::from_json`].
    pub fn from_json_slice(text: &[u8], limits: &Limits) -> Result<Event, InvalidEvent> {
        check_size(text.len(), limits)?;
        let text = std::str::from_utf8(text).map_err(|error| InvalidEvent::NotJson {
            offset: error.valid_up_to(),
        })?;
        read(text, limits)
    }

    /// Reads an event from a serializable value under the default limits.
    /// Offsets in errors are those in `serde_json`'s text.
    ///
    /// # Errors
    /// As [`Event::from_json`], and [`InvalidEvent::NotSerializable`].
    pub fn from_serialize(value: &impl serde::Serialize) -> Result<Event, InvalidEvent> {
        let text = serde_json::to_string(value).map_err(|_| InvalidEvent::NotSerializable)?;
        Event::from_json(&text)
    }

    /// Makes the event the record after `previous`: one SHA-256 over its text.
    ///
    /// The same event, id and head give the same record.
    ///
    /// # Errors
    /// [`SequenceExhausted`] when no sequence follows `previous`.
    pub fn seal(
        &self,
        append_id: Option<&AppendId>,
        previous: &Head,
    ) -> Result<Record, SequenceExhausted> {
        let sequence = previous.next_sequence().ok_or(SequenceExhausted)?;
        let (before, after) = self.text.split_at(self.place);
        let mut text = String::with_capacity(self.record_len());
        text.push_str(before);
        text.push('"');
        text.push_str(INTEGRITY);
        text.push_str("\":");
        let start = text.len();
        text.push_str("{\"alg\":\"sha256\",");
        if let Some(id) = append_id {
            push(&mut text, format_args!("\"appendId\":\"{id}\","));
        }
        text.push_str("\"canonicalization\":\"json-stable-v1\",");
        let mut link = String::with_capacity(LINK_LEN);
        match previous.event_hash() {
            None => link.push_str("\"previousHash\":null,"),
            Some(hash) => push(&mut link, format_args!("\"previousHash\":\"{hash}\",")),
        }
        push(&mut link, format_args!("\"sequence\":{sequence}}}"));

        let digest = Sha256::new()
            .chain_update(&text)
            .chain_update(&link)
            .chain_update(after)
            .finalize();
        let event_hash = EventHash::from_bytes(digest.into());

        push(&mut text, format_args!("\"eventHash\":\"{event_hash}\","));
        text.push_str(&link);
        let integrity = start..text.len();
        text.push_str(after);
        Ok(Record::new(
            text,
            integrity,
            Position {
                sequence,
                event_hash,
            },
        ))
    }

    /// An upper bound for the length of the record's text, at any position.
    pub fn record_len(&self) -> usize {
        self.text.len() + INTEGRITY_LEN
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Event")
            .field("bytes", &self.text.len())
            .finish_non_exhaustive()
    }
}

/// `"previousHash":"…","sequence":…}` at its longest.
const LINK_LEN: usize = 17 + EventHash::TEXT_LEN + 12 + 16 + 1;

/// The whole `auditIntegrity` member at its longest.
const INTEGRITY_LEN: usize =
    17 + 16 + (14 + AppendId::TEXT_LEN) + 36 + (15 + EventHash::TEXT_LEN) + LINK_LEN;

fn push(text: &mut String, formatted: fmt::Arguments<'_>) {
    // Writing to a String never fails.
    let _ = fmt::Write::write_fmt(text, formatted);
}

fn check_size(bytes: usize, limits: &Limits) -> Result<(), InvalidEvent> {
    let max_bytes = limits.max_bytes;
    match bytes > max_bytes {
        true => Err(InvalidEvent::TooLarge { bytes, max_bytes }),
        false => Ok(()),
    }
}

struct Sanitized;

impl Members for Sanitized {
    fn keep(&mut self, depth: usize, name: &[u8], _: &mut String, _: usize) -> bool {
        let is_replaced = depth == 1 && name == INTEGRITY.as_bytes();
        !is_replaced && !is_removed(name)
    }
}

fn read(text: &str, limits: &Limits) -> Result<Event, InvalidEvent> {
    let mut renderer = Renderer::default();
    renderer
        .render(text, limits.max_depth, &mut Sanitized)
        .map_err(|refusal| invalid(refusal, limits))?;
    if !renderer.root_is_object() {
        return Err(InvalidEvent::NotAnObject);
    }
    let mut place = renderer.place_in_root(text, INTEGRITY);
    let mut text = renderer.into_text();
    let is_first = place == 1;
    let is_last = place + 1 == text.len();
    // The comma follows auditIntegrity, or precedes it if that comes last.
    if !(is_first && is_last) {
        text.insert(place, ',');
        place += usize::from(is_last);
    }
    Ok(Event {
        text: text.into(),
        place,
    })
}

fn invalid(refusal: Refusal, limits: &Limits) -> InvalidEvent {
    let offset = refusal.offset;
    match refusal.kind {
        RefusalKind::NotJson => InvalidEvent::NotJson { offset },
        RefusalKind::TooDeep => InvalidEvent::TooDeep {
            offset,
            max_depth: limits.max_depth,
        },
        RefusalKind::Repeated => InvalidEvent::RepeatedMember { offset },
        RefusalKind::NumberChanges => InvalidEvent::NumberChanges { offset },
        RefusalKind::NumberOverflows => InvalidEvent::NumberOverflows { offset },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Sequence;

    fn seal(event: &str) -> Record {
        Event::from_json(event)
            .unwrap()
            .seal(None, &Head::Empty)
            .unwrap()
    }

    #[test]
    fn integrity_is_in_canonical_order() {
        for (event, shape) in [
            ("{}", "{#}"),
            (r#"{"a":1}"#, r#"{"a":1,#}"#),
            (r#"{"z":1}"#, r##"{#,"z":1}"##),
            (r#"{"z":1,"a":2}"#, r##"{"a":2,#,"z":1}"##),
            (
                r#"{"secret":1,"auditIntegrity":7,"auditIntegritz":{"code":1}}"#,
                r##"{#,"auditIntegritz":{}}"##,
            ),
            (r#"{"a":1,"value":1,"state":2}"#, r#"{"a":1,#}"#),
            (r#"{"\u0073ecret":1}"#, "{#}"),
        ] {
            let record = seal(event);
            let integrity = format!("\"auditIntegrity\":{}", record.integrity());
            assert_eq!(record.text(), shape.replace('#', &integrity), "{event}");
        }
    }

    #[test]
    fn the_length_bound_is_exact() {
        let head = Head::At(Position {
            sequence: Sequence::new(Sequence::MAX - 1).unwrap(),
            event_hash: EventHash::from_bytes([9; 32]),
        });
        let id = AppendId::from_bytes([3; 16]);
        for text in ["{}", r#"{"a":1}"#, r#"{"b":"é"}"#] {
            let event = Event::from_json(text).unwrap();
            let record = event.seal(Some(&id), &head).unwrap();
            assert_eq!(record.text().len(), event.record_len());
            let full = Head::At(record.position());
            assert_eq!(event.seal(None, &full).err(), Some(SequenceExhausted));
        }
    }

    #[test]
    fn errors_and_debug_contain_no_event_content() {
        let event = Event::from_json(r#"{"id":"hunter2"}"#).unwrap();
        assert_eq!(format!("{event:?}"), "Event { bytes: 17, .. }");
        let error = Event::from_json(r#"{"hunter2":1,"hunter2":2}"#).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter2"));
    }

    /// Would catch a record whose `Debug` shows its content, or not its
    /// position.
    #[test]
    fn debug_shows_only_the_position_of_a_record() {
        let record = seal(r#"{"id":"hunter2"}"#);
        let shown = format!("{record:?}");
        assert!(
            shown.contains(&record.position().event_hash.to_string()),
            "{shown}"
        );
        assert!(!shown.contains("hunter2"), "{shown}");
        assert_eq!(record.clone().into_text(), record.text());
    }
}
