//! Replies as they come over the wire, RESP2 and RESP3.

/// A reply, parsed: two are equal if their bytes are.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Item {
    /// Anything of one line, its mark in front: also RESP3's null, doubles, booleans and large numbers.
    Line(Vec<u8>),
    Bulk(Option<Vec<u8>>),
    /// RESP3's text with a format.
    Verbatim(Vec<u8>),
    Array(Option<Vec<Item>>),
    /// RESP3's maps, keys and values by turns, and sets.
    Map(Vec<Item>),
    Set(Vec<Item>),
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Item::Line(text) => write!(f, "{}", text.escape_ascii()),
            Item::Verbatim(text) => write!(f, "={}", text.escape_ascii()),
            Item::Bulk(None) => write!(f, "nil"),
            Item::Bulk(Some(text)) if text.len() > 300 => write!(f, "\"…{} bytes\"", text.len()),
            Item::Bulk(Some(text)) => write!(f, "\"{}\"", text.escape_ascii()),
            Item::Array(None) => write!(f, "nil array"),
            Item::Array(Some(items)) => f.debug_list().entries(items).finish(),
            Item::Map(items) => f.debug_tuple("map").field(items).finish(),
            Item::Set(items) => f.debug_tuple("set").field(items).finish(),
        }
    }
}

impl Item {
    /// Its elements, of any kind of list.
    pub(super) fn items(&self) -> &[Item] {
        match self {
            Item::Array(Some(items)) | Item::Map(items) | Item::Set(items) => items,
            _ => &[],
        }
    }

    pub(super) fn part(&self, index: usize) -> &Item {
        match self {
            Item::Array(Some(items)) => &items[index],
            other => other,
        }
    }

    pub(super) fn is_error(&self) -> bool {
        matches!(self, Item::Line(text) if text.starts_with(b"-"))
    }

    /// Drops the connection's number from a reply of HELLO.
    pub(super) fn forget_id(&mut self) {
        if let Item::Array(Some(items)) | Item::Map(items) = self
            && let Some(at) = items
                .iter()
                .position(|item| *item == Item::Bulk(Some(b"id".to_vec())))
        {
            items.drain(at..items.len().min(at + 2));
        }
    }

    pub(super) fn sort(&mut self) {
        if let Item::Array(Some(items)) | Item::Map(items) | Item::Set(items) = self {
            items.iter_mut().for_each(Item::sort);
            items.sort();
        }
    }

    pub(super) fn sort_parts(&mut self) {
        if let Item::Array(Some(items)) = self {
            items.iter_mut().for_each(Item::sort);
        }
    }

    /// Equal, but for large numbers that may be a time to live and differ by so much.
    pub(super) fn is_like(&self, other: &Item, allowance: i64) -> bool {
        let number = |item: &Item| match item {
            Item::Line(text) => std::str::from_utf8(text)
                .ok()
                .and_then(|text| text.strip_prefix(':')?.parse::<i64>().ok()),
            _ => None,
        };
        match (self, other) {
            (Item::Array(Some(ours)), Item::Array(Some(theirs))) => {
                let mut pairs = ours.iter().zip(theirs);
                ours.len() == theirs.len()
                    && pairs.all(|(ours, theirs)| ours.is_like(theirs, allowance))
            }
            _ => match (number(self), number(other)) {
                (Some(ours), Some(theirs)) if ours > 400 && theirs > 400 => {
                    (ours - theirs).abs() <= allowance
                }
                _ => self == other,
            },
        }
    }

    pub(super) fn read(read: &mut dyn FnMut(&mut [u8])) -> Item {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            let mut byte = [0];
            read(&mut byte);
            line.extend(byte);
        }
        line.truncate(line.len() - 2);
        let length = std::str::from_utf8(&line[1..])
            .ok()
            .and_then(|text| text.parse::<i64>().ok())
            .and_then(|length| usize::try_from(length).ok());
        let mut text = |length: usize| {
            let mut bulk = vec![0; length + 2];
            read(&mut bulk);
            bulk.truncate(length);
            bulk
        };
        match (line[0], length) {
            (b'$', length) => Item::Bulk(length.map(text)),
            (b'=', Some(length)) => Item::Verbatim(text(length)),
            (b'*', length) => {
                Item::Array(length.map(|n| (0..n).map(|_| Item::read(read)).collect()))
            }
            (b'%', Some(n)) => Item::Map((0..2 * n).map(|_| Item::read(read)).collect()),
            (b'~', Some(n)) => Item::Set((0..n).map(|_| Item::read(read)).collect()),
            _ => Item::Line(line),
        }
    }
}

pub(super) fn encode(words: &[impl AsRef<[u8]>]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    for word in words.iter().map(AsRef::as_ref) {
        out.extend(format!("${}\r\n", word.len()).as_bytes());
        out.extend(word);
        out.extend(b"\r\n");
    }
    out
}

pub(super) fn show(words: &[impl AsRef<[u8]>]) -> String {
    let word = |word: &[u8]| match word.len() {
        0..400 => word.escape_ascii().to_string(),
        length => format!("…{length} bytes"),
    };
    words
        .iter()
        .map(|text| word(text.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}
