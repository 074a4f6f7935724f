//! Replies to commands, and their encoding in RESP2 and RESP3.

use super::number::general;
use super::value::Score;
use bytes::{BufMut, Bytes, BytesMut};

/// How replies are encoded. HELLO chooses it for a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// What every connection starts with.
    #[default]
    Resp2,
    /// It adds maps, sets, doubles, booleans, and one null for all types.
    Resp3,
}

/// A reply. Line breaks in the text of a status or an error are encoded as spaces, as in redis-server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Status(Bytes),
    /// `-ERR text`, without the dash.
    Error(Bytes),
    /// `:1`
    Integer(i64),
    /// `$3` and the bytes.
    Bulk(Bytes),
    /// `$-1`: no value.
    Nil,
    /// `*-1`: no array, the reply of EXEC when a watched key has changed.
    NilArray,
    /// `*n` and the elements.
    Array(Vec<Reply>),
    /// `%n`, with keys and values in turn; in RESP2 an array.
    Map(Vec<Reply>),
    /// `%n`, with keys and values in turn; in RESP2 an array of pairs.
    Keyed(Vec<Reply>),
    /// `~n` and the elements; in RESP2 an array.
    Set(Vec<Reply>),
    /// `>n` and the elements: a message of a channel; in RESP2 an array.
    Push(Vec<Reply>),
    /// Replies one after the other, as to SUBSCRIBE with several channels.
    Several(Vec<Reply>),
    /// Members and their scores, as an array of pairs; in RESP2 an array of both in turn.
    Scored(Vec<(Bytes, Score)>),
    /// `,1.5`; in RESP2 a bulk string.
    Double(Score),
    /// `#t` or `#f`; in RESP2 1 or 0.
    Boolean(bool),
    /// `(12`, as text; in RESP2 a bulk string.
    BigNumber(Bytes),
    /// `=7`, a format of three letters, a colon and the text; in RESP2 a bulk string of the text.
    Verbatim([u8; 3], Bytes),
}

/// What the function of a command returns. An `Err` is an error reply, so that `?` ends the command.
pub type Outcome = Result<Reply, Reply>;

impl Reply {
    /// `+OK`
    pub const OK: Reply = Reply::Status(Bytes::from_static(b"OK"));

    /// An error with a fixed text that begins with its code: `ERR syntax error`.
    pub const fn fail(text: &'static str) -> Reply {
        Reply::Error(Bytes::from_static(text.as_bytes()))
    }

    /// An error with a text that begins with its code.
    pub fn error(text: impl Into<Vec<u8>>) -> Reply {
        Reply::Error(Bytes::from(text.into()))
    }

    /// A bulk string that copies `text`.
    pub fn text(text: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// A value, or nil if there is none.
    pub fn optional(value: Option<&Bytes>) -> Reply {
        value.map_or(Reply::Nil, |value| Reply::Bulk(value.clone()))
    }

    /// 1 or 0.
    pub fn flag(value: bool) -> Reply {
        Reply::Integer(i64::from(value))
    }

    /// A count.
    pub fn count(value: usize) -> Reply {
        Reply::Integer(i64::try_from(value).unwrap_or(i64::MAX))
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Replaces the types that RESP2 does not have.
    #[must_use]
    pub(super) fn in_resp2(self) -> Reply {
        match self {
            Reply::Several(items) => {
                Reply::Several(items.into_iter().map(Reply::in_resp2).collect())
            }
            Reply::Array(mut items)
            | Reply::Map(mut items)
            | Reply::Set(mut items)
            | Reply::Push(mut items) => {
                for item in &mut items {
                    if !matches!(item, Reply::Bulk(_) | Reply::Integer(_) | Reply::Nil) {
                        *item = std::mem::replace(item, Reply::Nil).in_resp2();
                    }
                }
                Reply::Array(items)
            }
            Reply::Keyed(items) => pairs(&items).in_resp2(),
            Reply::Scored(pairs) => {
                let pair = |(member, score): (Bytes, Score)| {
                    [Reply::Bulk(member), Reply::text(general(score.0, 17))]
                };
                Reply::Array(pairs.into_iter().flat_map(pair).collect())
            }
            Reply::Double(value) => Reply::text(general(value.0, 17)),
            Reply::Boolean(value) => Reply::flag(value),
            Reply::BigNumber(text) | Reply::Verbatim(_, text) => Reply::Bulk(text),
            other => other,
        }
    }

    /// Appends the reply to `out`, in RESP2.
    pub fn encode(&self, out: &mut BytesMut) {
        self.encode_as(Protocol::Resp2, out);
    }

    /// Appends the reply to `out`.
    pub fn encode_as(&self, protocol: Protocol, out: &mut BytesMut) {
        let resp3 = protocol == Protocol::Resp3;
        match self {
            Reply::Status(text) => line(out, b'+', text),
            Reply::Error(text) => line(out, b'-', text),
            Reply::Integer(value) => header(out, b':', *value),
            Reply::Bulk(text) => bulk(out, text),
            Reply::Nil | Reply::NilArray if resp3 => out.put_slice(b"_\r\n"),
            Reply::Nil => out.put_slice(b"$-1\r\n"),
            Reply::NilArray => out.put_slice(b"*-1\r\n"),
            Reply::Array(items) => aggregate(protocol, out, b'*', items.len(), items),
            Reply::Map(items) | Reply::Keyed(items) if resp3 => {
                aggregate(protocol, out, b'%', items.len() / 2, items);
            }
            Reply::Keyed(items) => pairs(items).encode_as(protocol, out),
            Reply::Set(items) if resp3 => aggregate(protocol, out, b'~', items.len(), items),
            Reply::Push(items) if resp3 => aggregate(protocol, out, b'>', items.len(), items),
            Reply::Several(items) => items.iter().for_each(|item| item.encode_as(protocol, out)),
            Reply::Map(items) | Reply::Set(items) | Reply::Push(items) => {
                aggregate(protocol, out, b'*', items.len(), items);
            }
            Reply::Scored(pairs) => {
                length(out, b'*', if resp3 { pairs.len() } else { 2 * pairs.len() });
                for (member, score) in pairs {
                    if resp3 {
                        length(out, b'*', 2);
                    }
                    bulk(out, member);
                    Reply::Double(*score).encode_as(protocol, out);
                }
            }
            Reply::Double(value) if resp3 => line(out, b',', general(value.0, 17).as_bytes()),
            Reply::Double(value) => bulk(out, general(value.0, 17).as_bytes()),
            Reply::Boolean(value) if resp3 => {
                out.put_slice(if *value { b"#t\r\n" } else { b"#f\r\n" });
            }
            Reply::Boolean(value) => header(out, b':', i64::from(*value)),
            Reply::BigNumber(text) if resp3 => line(out, b'(', text),
            Reply::BigNumber(text) => bulk(out, text),
            Reply::Verbatim(format, text) if resp3 => {
                length(out, b'=', text.len() + 4);
                out.put_slice(format);
                out.put_u8(b':');
                out.put_slice(text);
                out.put_slice(b"\r\n");
            }
            Reply::Verbatim(_, text) => bulk(out, text),
        }
    }
}

/// Keys and values in turn as an array of pairs.
fn pairs(items: &[Reply]) -> Reply {
    let pairs = items.chunks(2);
    Reply::Array(pairs.map(|pair| Reply::Array(pair.to_vec())).collect())
}

fn bulk(out: &mut BytesMut, text: &[u8]) {
    length(out, b'$', text.len());
    out.reserve(text.len() + 2);
    out.put_slice(text);
    out.put_slice(b"\r\n");
}

fn aggregate(protocol: Protocol, out: &mut BytesMut, kind: u8, count: usize, items: &[Reply]) {
    length(out, kind, count);
    items.iter().for_each(|item| item.encode_as(protocol, out));
}

fn length(out: &mut BytesMut, kind: u8, value: usize) {
    header(out, kind, i64::try_from(value).unwrap_or(i64::MAX));
}

fn line(out: &mut BytesMut, kind: u8, text: &[u8]) {
    out.put_u8(kind);
    if text.iter().any(|byte| matches!(byte, b'\r' | b'\n')) {
        out.extend(text.iter().map(|byte| {
            if matches!(byte, b'\r' | b'\n') {
                b' '
            } else {
                *byte
            }
        }));
    } else {
        out.put_slice(text);
    }
    out.put_slice(b"\r\n");
}

fn header(out: &mut BytesMut, kind: u8, value: i64) {
    out.put_u8(kind);
    let mut digits = [0u8; 20];
    out.put_slice(decimal(value, &mut digits));
    out.put_slice(b"\r\n");
}

/// Writes `value` in decimal at the end of `buffer`. Most replies contain a number, and `format!` would allocate.
pub(super) fn decimal(value: i64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut rest = value.unsigned_abs();
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        buffer[at] = b'-';
    }
    &buffer[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: Reply) -> Vec<u8> {
        let mut out = BytesMut::new();
        reply.encode(&mut out);
        out.to_vec()
    }

    #[test]
    fn every_shape_has_its_prefix() {
        assert_eq!(encoded(Reply::OK), b"+OK\r\n");
        assert_eq!(encoded(Reply::fail("ERR x")), b"-ERR x\r\n");
        assert_eq!(
            encoded(Reply::Integer(i64::MIN)),
            b":-9223372036854775808\r\n"
        );
        assert_eq!(
            encoded(Reply::Array(vec![Reply::Nil, Reply::text("ab")])),
            b"*2\r\n$-1\r\n$2\r\nab\r\n"
        );
        assert_eq!(encoded(Reply::NilArray), b"*-1\r\n");
    }

    #[test]
    fn resp2_flattens_resp3_types() {
        let both = |reply: Reply| {
            let mut newer = BytesMut::new();
            reply.encode_as(Protocol::Resp3, &mut newer);
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            (text(encoded(reply)), text(newer.to_vec()))
        };
        let pair = |old: &str, new: &str| (old.to_owned(), new.to_owned());
        let map = vec![Reply::text("a"), Reply::Nil];
        assert_eq!(
            both(Reply::Map(map)),
            pair("*2\r\n$1\r\na\r\n$-1\r\n", "%1\r\n$1\r\na\r\n_\r\n")
        );
        let scored = vec![(Bytes::from_static(b"m"), Score(0.1))];
        assert_eq!(
            both(Reply::Scored(scored)),
            pair(
                "*2\r\n$1\r\nm\r\n$19\r\n0.10000000000000001\r\n",
                "*1\r\n*2\r\n$1\r\nm\r\n,0.10000000000000001\r\n"
            )
        );
        assert_eq!(both(Reply::Boolean(true)), pair(":1\r\n", "#t\r\n"));
        let verbatim = Reply::Verbatim(*b"txt", Bytes::from_static(b"ab"));
        assert_eq!(both(verbatim), pair("$2\r\nab\r\n", "=6\r\ntxt:ab\r\n"));
        assert_eq!(both(Reply::NilArray), pair("*-1\r\n", "_\r\n"));
    }

    #[test]
    fn a_line_break_in_an_error_cannot_split_it() {
        assert_eq!(encoded(Reply::error("ERR a\r\n+OK")), b"-ERR a  +OK\r\n");
    }
}
