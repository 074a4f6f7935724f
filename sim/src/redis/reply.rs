//! What a command answers, in RESP2.

use bytes::{BufMut, Bytes, BytesMut};

/// One reply. Texts of statuses and errors carry no line break: the encoder turns one into a space, as Redis does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// `+OK`
    Status(Bytes),
    /// `-ERR text`, kept without the dash.
    Error(Bytes),
    /// `:1`
    Integer(i64),
    /// `$3` and its bytes.
    Bulk(Bytes),
    /// `$-1`: no value.
    Nil,
    /// `*-1`: no array, as EXEC answers when a watched key changed.
    NilArray,
    /// `*n` and its elements.
    Array(Vec<Reply>),
}

/// What a command's function returns: an `Err` is an error reply, so that `?` ends a command early.
pub type Outcome = Result<Reply, Reply>;

impl Reply {
    /// `+OK`
    pub const OK: Reply = Reply::Status(Bytes::from_static(b"OK"));

    /// An error with a fixed text, code first: `ERR syntax error`.
    pub const fn fail(text: &'static str) -> Reply {
        Reply::Error(Bytes::from_static(text.as_bytes()))
    }

    /// An error with a made text, code first.
    pub fn error(text: impl Into<Vec<u8>>) -> Reply {
        Reply::Error(Bytes::from(text.into()))
    }

    /// A bulk string that copies `text`.
    pub fn text(text: impl AsRef<[u8]>) -> Reply {
        Reply::Bulk(Bytes::copy_from_slice(text.as_ref()))
    }

    /// A value, or nil where there is none.
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

    /// Whether this is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Reply::Error(_))
    }

    /// Writes the reply as RESP2.
    pub fn encode(&self, out: &mut BytesMut) {
        match self {
            Reply::Status(text) => line(out, b'+', text),
            Reply::Error(text) => line(out, b'-', text),
            Reply::Integer(value) => header(out, b':', *value),
            Reply::Bulk(bytes) => {
                header(out, b'$', i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                out.reserve(bytes.len() + 2);
                out.put_slice(bytes);
                out.put_slice(b"\r\n");
            }
            Reply::Nil => out.put_slice(b"$-1\r\n"),
            Reply::NilArray => out.put_slice(b"*-1\r\n"),
            Reply::Array(items) => {
                header(out, b'*', i64::try_from(items.len()).unwrap_or(i64::MAX));
                items.iter().for_each(|item| item.encode(out));
            }
        }
    }
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

/// Writes `value` in decimal at the end of `buffer`: every reply has a number in it, and `format!` allocates.
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
    fn a_line_break_in_an_error_cannot_split_it() {
        assert_eq!(encoded(Reply::error("ERR a\r\n+OK")), b"-ERR a  +OK\r\n");
    }
}
