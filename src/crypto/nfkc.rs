//! The canonical text nfkc-json-v2, by which AAD is bound to a ciphertext.
//!
//! It differs from json-stable-v1 in three points: names and string values are
//! NFKC-normalized first, two names that become equal are refused, and members
//! are sorted by their whole rendered text, so that `"a!":1` is before `"a":1`.
//!
//! Normalization follows the Unicode version of the crate. It is stable for
//! every character assigned by then; text with newer characters may be rendered
//! differently elsewhere, and decrypting is then refused.

use unicode_normalization::UnicodeNormalization as _;

use crate::chain::{
    json::{Reader, Refusal, RefusalKind, Token},
    number,
    text::{Piece, Text, utf16_order, write_escaped, write_unit},
};

/// A container that is still open.
struct Frame {
    object: bool,
    /// The rendered name of the current member, colon included, and its offset
    /// in the source.
    name: (String, usize),
    /// Rendered members, or elements in order.
    entries: Vec<Entry>,
}

struct Entry {
    text: String,
    /// The length of the name in `text`, quotes and colon included.
    name: usize,
    /// The offset of the name in the source.
    offset: usize,
}

/// Renders `text`, a JSON object with at most `max_depth` open containers;
/// `None` if it is JSON but not an object. O(n log n) per level; no recursion.
pub(crate) fn render(text: &str, max_depth: usize) -> Result<Option<String>, Refusal> {
    let mut reader = Reader::new(text, max_depth);
    let mut open: Vec<Frame> = Vec::new();
    let mut is_object = false;
    // The last rendered value.
    let mut value = String::new();
    loop {
        match reader.next()? {
            token @ (Token::Object | Token::Array) => {
                let object = token == Token::Object;
                is_object |= open.is_empty() && object;
                open.push(Frame {
                    object,
                    name: (String::new(), 0),
                    entries: Vec::new(),
                });
                continue;
            }
            Token::Name(name) => {
                if let Some(frame) = open.last_mut() {
                    let mut rendered = write(name);
                    rendered.push(':');
                    frame.name = (rendered, reader.token_start());
                }
                continue;
            }
            Token::End => {
                if let Some(frame) = open.pop() {
                    value = close(frame)?;
                }
            }
            Token::String(string) => value = write(string),
            Token::Number(literal) => number::write(literal, &mut value)
                .map_err(|why| Refusal::new(reader.token_start(), why.into()))?,
            Token::Literal(word) => value.push_str(word),
            Token::Done => return Ok(is_object.then_some(value)),
        }
        if let Some(frame) = open.last_mut() {
            let (mut text, offset) = std::mem::take(&mut frame.name);
            let name = text.len();
            text.push_str(&std::mem::take(&mut value));
            frame.entries.push(Entry { text, name, offset });
        }
    }
}

/// The text of a complete container.
fn close(mut frame: Frame) -> Result<String, Refusal> {
    if frame.object {
        let order = |a: &Entry, b: &Entry| utf16_order(a.text.as_bytes(), b.text.as_bytes());
        // No name is a prefix of another, quotes and colon included, so equal
        // names are adjacent after sorting.
        frame.entries.sort_by(order);
        for pair in frame.entries.windows(2) {
            if let [a, b] = pair
                && a.text[..a.name] == b.text[..b.name]
            {
                let offset = a.offset.max(b.offset);
                return Err(Refusal::new(offset, RefusalKind::Repeated));
            }
        }
    }
    let inside: usize = frame.entries.iter().map(|entry| entry.text.len() + 1).sum();
    let mut text = String::with_capacity(inside + 2);
    text.push(if frame.object { '{' } else { '[' });
    for (index, entry) in frame.entries.iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&entry.text);
    }
    text.push(if frame.object { '}' } else { ']' });
    Ok(text)
}

/// A string with its quotes, normalized first and then escaped: NFKC turns
/// full-width quotes and backslashes into ASCII.
fn write(string: Text<'_>) -> String {
    let mut written = String::from("\"");
    let mut run = String::new();
    for piece in string.pieces() {
        match piece {
            Piece::Run(part) => run.push_str(part),
            Piece::Char(c) => run.push(c),
            // A lone surrogate is not a character: nothing composes across it.
            Piece::Lone(unit) => {
                flush(&mut run, &mut written);
                write_unit(unit, &mut written);
            }
        }
    }
    flush(&mut run, &mut written);
    written.push('"');
    written
}

fn flush(run: &mut String, written: &mut String) {
    if run.is_ascii() {
        write_escaped(run, written);
    } else {
        write_escaped(&run.nfkc().collect::<String>(), written);
    }
    run.clear();
}
