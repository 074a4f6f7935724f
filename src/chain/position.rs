//! Positions: a record's sequence, hash and append id, and the head.

use std::fmt;
use std::num::NonZeroU64;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

/// A record's place in the chain, counted from 1.
///
/// At most 2^53 − 1: a JSON number is an IEEE double, and beyond that two
/// sequences would be printed the same.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(NonZeroU64);

impl Sequence {
    /// The first record's sequence, 1.
    pub const FIRST: Sequence = Sequence(NonZeroU64::MIN);
    /// The last sequence there can be, 2^53 − 1.
    pub const MAX: u64 = (1 << 53) - 1;

    /// `value` as a sequence; `None` when it is 0 or above [`Sequence::MAX`].
    pub const fn new(value: u64) -> Option<Sequence> {
        match NonZeroU64::new(value) {
            Some(value) if value.get() <= Sequence::MAX => Some(Sequence(value)),
            _ => None,
        }
    }

    /// The number, 1 to 2^53 − 1.
    pub const fn get(self) -> u64 {
        self.0.get()
    }

    /// The sequence after this one; `None` at the end of the sequence space.
    pub const fn next(self) -> Option<Sequence> {
        Sequence::new(self.get() + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl fmt::Debug for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

/// A record's SHA-256, which the next record contains as its previous hash.
///
/// Written as 43 characters of base64url without padding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventHash([u8; 32]);

impl EventHash {
    /// Length of the text form in bytes.
    pub const TEXT_LEN: usize = 43;

    /// The hash with these 32 bytes.
    pub const fn from_bytes(bytes: [u8; 32]) -> EventHash {
        EventHash(bytes)
    }

    /// The hash's 32 bytes.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads the text form. `None` unless `text` is what [`EventHash::to_text`]
    /// prints for some hash: each hash has one text.
    pub fn parse(text: &str) -> Option<EventHash> {
        decode(text.as_bytes()).map(EventHash)
    }

    /// The text form, 43 characters of unpadded base64url.
    pub fn to_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Display for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(encode(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for EventHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// 128 random bits that identify one append.
///
/// Otherwise two byte-identical events appended by two replicas onto one head
/// would have the same hash, and neither replica could tell which was applied.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendId([u8; 16]);

impl AppendId {
    /// Length of the text form in bytes.
    pub const TEXT_LEN: usize = 22;

    /// The id with these bytes, which must come from a source of randomness
    /// or be unique by other means.
    pub const fn from_bytes(bytes: [u8; 16]) -> AppendId {
        AppendId(bytes)
    }

    /// The id's 16 bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// Reads the text form: 22 characters of unpadded base64url whose unused
    /// bits are zero, else `None`.
    pub fn parse(text: &str) -> Option<AppendId> {
        decode(text.as_bytes()).map(AppendId)
    }
}

impl fmt::Display for AppendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(encode(&self.0, &mut [0; 64]))
    }
}

impl fmt::Debug for AppendId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One record's sequence together with its hash.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, PartialOrd, Ord)]
pub struct Position {
    /// The record's sequence.
    pub sequence: Sequence,
    /// The record's hash.
    pub event_hash: EventHash,
}

/// The end of a chain: what the next record links to.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum Head {
    /// The chain has no record yet.
    #[default]
    Empty,
    /// The last record.
    At(Position),
}

impl Head {
    /// The last record's position; `None` for an empty chain.
    pub const fn position(&self) -> Option<Position> {
        match self {
            Head::Empty => None,
            Head::At(position) => Some(*position),
        }
    }

    /// The last record's hash; `None` for an empty chain.
    pub const fn event_hash(&self) -> Option<EventHash> {
        match self {
            Head::Empty => None,
            Head::At(position) => Some(position.event_hash),
        }
    }

    /// The last record's hash as text, or `""` for an empty chain.
    pub fn hash_text(&self) -> String {
        self.event_hash()
            .map_or_else(String::new, |hash| hash.to_text())
    }

    /// How many records the chain has had: the last sequence, or 0.
    pub const fn len(&self) -> u64 {
        match self {
            Head::Empty => 0,
            Head::At(position) => position.sequence.get(),
        }
    }

    /// Whether the chain has no record.
    pub const fn is_empty(&self) -> bool {
        matches!(self, Head::Empty)
    }

    /// The next record's sequence; `None` at the end of the sequence space.
    pub const fn next_sequence(&self) -> Option<Sequence> {
        match self {
            Head::Empty => Some(Sequence::FIRST),
            Head::At(position) => position.sequence.next(),
        }
    }
}

impl From<Position> for Head {
    fn from(position: Position) -> Head {
        Head::At(position)
    }
}

fn encode<'b>(bytes: &[u8], buffer: &'b mut [u8; 64]) -> &'b str {
    let length = URL_SAFE_NO_PAD.encode_slice(bytes, buffer).unwrap_or(0);
    std::str::from_utf8(&buffer[..length]).unwrap_or("")
}

/// Decodes exactly `N` bytes. Nonzero unused bits in the last character are
/// refused, so the text form is unique.
fn decode<const N: usize>(text: &[u8]) -> Option<[u8; N]> {
    if text.len() != (4 * N).div_ceil(3) {
        return None;
    }
    let mut bytes = [0; N];
    let decoded = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes);
    decoded.ok().map(|_| bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sequence_is_one_to_two_to_the_53_less_one() {
        assert_eq!(Sequence::new(0), None);
        assert_eq!(Sequence::new(1), Some(Sequence::FIRST));
        assert_eq!(Sequence::new(1 << 53), None);
        let last = Sequence::new((1 << 53) - 1).unwrap();
        assert_eq!(last.next(), None);
        assert_eq!(Sequence::FIRST.next(), Sequence::new(2));
    }

    #[test]
    fn a_hash_has_one_text() {
        let hash = EventHash::from_bytes([0xff; 32]);
        let text = hash.to_text();
        assert_eq!(text.len(), EventHash::TEXT_LEN);
        assert_eq!(EventHash::parse(&text), Some(hash));
        assert_eq!(format!("{hash} {hash:?}"), format!("{text} {text}"));
        // Two bits of the last character are unused.
        assert_eq!(EventHash::parse(&format!("{}9", &text[..42])), None);
        assert_eq!(EventHash::parse(&format!("{text}=")), None);
        assert_eq!(EventHash::parse(&text[..42]), None);
        assert_eq!(EventHash::parse(&"/".repeat(43)), None);
    }

    #[test]
    fn an_append_id_reads_back() {
        let id = AppendId::from_bytes([7; 16]);
        assert_eq!(AppendId::parse(&id.to_string()), Some(id));
        assert_eq!(AppendId::parse("short"), None);
    }

    /// Would catch ids whose bytes are lost or swapped in conversion.
    #[test]
    fn the_bytes_of_ids_are_kept() {
        let bytes: [u8; 32] = std::array::from_fn(|i| i as u8);
        assert_eq!(EventHash::from_bytes(bytes).as_bytes(), &bytes);
        let bytes: [u8; 16] = std::array::from_fn(|i| i as u8);
        let id = AppendId::from_bytes(bytes);
        assert_eq!(id.as_bytes(), &bytes);
        assert_eq!(
            format!("{id} {id:?}"),
            "AAECAwQFBgcICQoLDA0ODw AAECAwQFBgcICQoLDA0ODw"
        );
        assert_eq!(format!("{0} {0:?}", Sequence::FIRST), "1 1");
    }

    /// Would catch an empty chain's head that looks like a record, or the
    /// reverse.
    #[test]
    fn a_head_is_empty_or_at_a_position() {
        let position = Position {
            sequence: Sequence::new(7).unwrap(),
            event_hash: EventHash::from_bytes([2; 32]),
        };
        let head = Head::from(position);
        assert_eq!(head, Head::At(position));
        assert_eq!((head.len(), head.is_empty()), (7, false));
        assert_eq!(head.position(), Some(position));
        assert_eq!(head.event_hash(), Some(position.event_hash));
        assert_eq!(head.hash_text(), position.event_hash.to_text());
        assert_eq!(head.next_sequence(), Sequence::new(8));
        assert_eq!((Head::Empty.len(), Head::Empty.is_empty()), (0, true));
        assert_eq!(
            (Head::Empty.position(), Head::Empty.event_hash()),
            (None, None)
        );
        assert_eq!(Head::Empty.hash_text(), "");
        assert_eq!(Head::Empty.next_sequence(), Some(Sequence::FIRST));
    }
}
