//! Reading ids of streams, with redis-server's error texts.

use super::args::echo;
use crate::number::unsigned;
use crate::reply::Reply;
use crate::stream::StreamId;

const INVALID: Reply = Reply::fail("ERR Invalid stream ID specified as stream command argument");

/// An id, without a number within the millisecond: 0.
pub(super) fn id(word: &[u8]) -> Result<StreamId, Reply> {
    parse(word, 0)
}

/// The id of XADD; `None` instead of the number in `5-*`.
pub(super) fn new_id(word: &[u8]) -> Result<(u64, Option<u64>), Reply> {
    match echo(word).strip_suffix(b"-*") {
        Some(ms) if word.len() < 128 && !ms.contains(&b'-') => {
            Ok((unsigned(ms).ok_or(INVALID)?, None))
        }
        _ => parse(word, 0).map(|id| (id.ms, Some(id.seq))),
    }
}

/// The first id of a range, which `(` excludes.
pub(super) fn start(word: &[u8]) -> Result<StreamId, Reply> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => parse(rest, 0)?
            .next()
            .ok_or(Reply::fail("ERR invalid start ID for the interval")),
        word => loose(word, 0),
    }
}

/// The last id of a range, which `(` excludes.
pub(super) fn end(word: &[u8]) -> Result<StreamId, Reply> {
    match word {
        [b'(', rest @ ..] if !rest.is_empty() => parse(rest, u64::MAX)?
            .previous()
            .ok_or(Reply::fail("ERR invalid end ID for the interval")),
        word => loose(word, u64::MAX),
    }
}

/// An id, or `-` or `+`.
pub(super) fn loose(word: &[u8], seq: u64) -> Result<StreamId, Reply> {
    match echo(word) {
        b"-" if word.len() < 128 => Ok(StreamId::MIN),
        b"+" if word.len() < 128 => Ok(StreamId::MAX),
        _ => parse(word, seq),
    }
}

/// An id, with this number if it has none.
fn parse(word: &[u8], seq: u64) -> Result<StreamId, Reply> {
    if word.len() > 127 {
        return Err(INVALID);
    }
    let text = echo(word);
    let dash = text.iter().position(|byte| *byte == b'-');
    let (ms, seq) = match dash {
        Some(at) => (&text[..at], unsigned(&text[at + 1..])),
        None => (text, Some(seq)),
    };
    match (unsigned(ms), seq) {
        (Some(ms), Some(seq)) => Ok(StreamId { ms, seq }),
        _ => Err(INVALID),
    }
}
