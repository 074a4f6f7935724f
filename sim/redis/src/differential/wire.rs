//! Replies as a client receives them, in RESP2 and RESP3, and commands as it sends them.

use std::io;

/// A reply as it was received: two are equal if their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum WireReply {
    /// Any reply of one line, with its first byte: statuses, errors, integers, and RESP3's null, doubles, booleans and
    /// big numbers.
    Line(Vec<u8>),
    /// A bulk string; `None` is RESP2's null.
    Bulk(Option<Vec<u8>>),
    /// RESP3's text with a format.
    Verbatim(Vec<u8>),
    /// An array; `None` is RESP2's null array.
    Array(Option<Vec<WireReply>>),
    /// RESP3's map, keys and values by turns.
    Map(Vec<WireReply>),
    /// RESP3's set.
    Set(Vec<WireReply>),
    /// RESP3's message of a channel.
    Push(Vec<WireReply>),
}

impl std::fmt::Debug for WireReply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireReply::Line(text) => write!(f, "{}", text.escape_ascii()),
            WireReply::Verbatim(text) => write!(f, "={}", text.escape_ascii()),
            WireReply::Bulk(None) => write!(f, "nil"),
            WireReply::Bulk(Some(text)) if text.len() > 300 => {
                write!(f, "\"…{} bytes\"", text.len())
            }
            WireReply::Bulk(Some(text)) => write!(f, "\"{}\"", text.escape_ascii()),
            WireReply::Array(None) => write!(f, "nil array"),
            WireReply::Array(Some(items)) => f.debug_list().entries(items).finish(),
            WireReply::Map(items) => f.debug_tuple("map").field(items).finish(),
            WireReply::Set(items) => f.debug_tuple("set").field(items).finish(),
            WireReply::Push(items) => f.debug_tuple("push").field(items).finish(),
        }
    }
}

impl WireReply {
    /// The elements of an array, a map or a set; of anything else there are none.
    pub fn items(&self) -> &[WireReply] {
        match self {
            WireReply::Array(Some(items))
            | WireReply::Map(items)
            | WireReply::Set(items)
            | WireReply::Push(items) => items,
            _ => &[],
        }
    }

    /// The bytes of a bulk string.
    pub fn bulk(&self) -> Option<&[u8]> {
        match self {
            WireReply::Bulk(text) => text.as_deref(),
            _ => None,
        }
    }

    /// The line of a reply of one line, with its first byte; of anything else it is empty.
    pub fn line(&self) -> &[u8] {
        match self {
            WireReply::Line(text) => text,
            _ => &[],
        }
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        self.line().starts_with(b"-")
    }

    fn items_mut(&mut self) -> Option<&mut Vec<WireReply>> {
        match self {
            WireReply::Array(Some(items))
            | WireReply::Map(items)
            | WireReply::Set(items)
            | WireReply::Push(items) => Some(items),
            _ => None,
        }
    }

    /// Removes the connection's number from a reply of HELLO.
    pub(super) fn remove_id(&mut self) {
        if let Some(items) = self.items_mut()
            && let Some(at) = items.iter().position(|item| item.bulk() == Some(b"id"))
        {
            items.drain(at..items.len().min(at + 2));
        }
    }

    /// Removes, at every depth, the third part of the pending entries of XPENDING, and what XINFO says of times and nodes.
    pub(super) fn remove_idle_times(&mut self) {
        let Some(items) = self.items_mut() else {
            return;
        };
        if let [id, _, idle, count] = items.as_slice()
            && id.bulk().is_some_and(|id| id.contains(&b'-'))
            && [idle, count].iter().all(|one| one.line().starts_with(b":"))
        {
            items.remove(2);
        }
        let names: [&[u8]; 3] = [b"idle", b"radix-tree-keys", b"radix-tree-nodes"];
        while let Some(at) = items
            .iter()
            .position(|item| item.bulk().is_some_and(|name| names.contains(&name)))
        {
            items.drain(at..items.len().min(at + 2));
        }
        items.iter_mut().for_each(WireReply::remove_idle_times);
    }

    /// Replaces numbers of 13 to 16 digits at every depth.
    pub(super) fn remove_times(&mut self) {
        match self {
            WireReply::Line(text) | WireReply::Bulk(Some(text)) => {
                let is_alike = |one: &u8, next: &u8| one.is_ascii_digit() == next.is_ascii_digit();
                let runs = text.chunk_by(is_alike).map(|run| match run {
                    [b'0'..=b'9', ..] if (13..=16).contains(&run.len()) => b"time",
                    _ => run,
                });
                *text = runs.collect::<Vec<_>>().concat();
            }
            _ => self
                .items_mut()
                .into_iter()
                .flatten()
                .for_each(WireReply::remove_times),
        }
    }

    pub(super) fn sort(&mut self) {
        if let Some(items) = self.items_mut() {
            items.iter_mut().for_each(WireReply::sort);
            items.sort();
        }
    }

    /// Equal, except for integers above 400, at every depth, which may differ by
    /// `allowance`.
    pub(super) fn is_within(&self, other: &WireReply, allowance: i64) -> bool {
        let integer = |reply: &WireReply| {
            let text = std::str::from_utf8(reply.line().strip_prefix(b":")?).ok()?;
            text.parse::<i64>().ok().filter(|value| *value > 400)
        };
        match (integer(self), integer(other)) {
            (Some(ours), Some(theirs)) => (ours - theirs).abs() <= allowance,
            _ if self.items().is_empty() => self == other,
            _ => {
                let mut pairs = self.items().iter().zip(other.items());
                self.line() == other.line()
                    && self.items().len() == other.items().len()
                    && pairs.all(|(ours, theirs)| ours.is_within(theirs, allowance))
            }
        }
    }

    pub(super) fn read(read: &mut dyn FnMut(&mut [u8]) -> io::Result<()>) -> io::Result<WireReply> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            read(&mut byte)?;
            line.extend(byte);
        }
        line.truncate(line.len() - 2);
        let Some((kind, rest)) = line.split_first() else {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "an empty line"));
        };
        let length = std::str::from_utf8(rest)
            .ok()
            .and_then(|text| text.parse::<usize>().ok());
        let mut text = |length: usize| {
            let mut bulk = vec![0; length + 2];
            read(&mut bulk)?;
            bulk.truncate(length);
            io::Result::Ok(bulk)
        };
        Ok(match (kind, length) {
            (b'$', length) => WireReply::Bulk(length.map(text).transpose()?),
            (b'=', Some(length)) => WireReply::Verbatim(text(length)?),
            (b'*', None) => WireReply::Array(None),
            (b'*', Some(count)) => WireReply::Array(Some(many(read, count)?)),
            (b'%', Some(count)) => WireReply::Map(many(read, 2 * count)?),
            (b'~', Some(count)) => WireReply::Set(many(read, count)?),
            (b'>', Some(count)) => WireReply::Push(many(read, count)?),
            _ => WireReply::Line(line),
        })
    }
}

fn many(
    read: &mut dyn FnMut(&mut [u8]) -> io::Result<()>,
    count: usize,
) -> io::Result<Vec<WireReply>> {
    (0..count).map(|_| WireReply::read(read)).collect()
}

pub(super) fn encode(words: &[Vec<u8>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words {
        out.extend(format!("${}\r\n", word.len()).as_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

pub(super) fn show(words: &[Vec<u8>]) -> String {
    let word = |word: &Vec<u8>| match word.len() {
        0..400 => word.escape_ascii().to_string(),
        length => format!("…{length} bytes"),
    };
    words.iter().map(word).collect::<Vec<_>>().join(" ")
}
