//! The canonical text of a JSON value, json-stable-v1.
//!
//! This is RFC 8785 (JSON Canonicalization Scheme): no white space, members
//! sorted by name in UTF-16 code units, strings and numbers exactly as
//! ECMAScript's `JSON.stringify` writes them, lone surrogates included.
//!
//! Members are rendered in the order of the text and sorted when their object
//! closes, so that a text that is already canonical is copied once.

use std::cmp::Ordering;

use super::json::{Reader, Refusal, RefusalKind, Token};
use super::number::{self, Unfaithful};
use super::text::{Text, decode, prefix, utf16_order, write_string};

/// Decides which members stay in the canonical text.
pub(crate) trait Members {
    /// Called when a member is complete, innermost first. `depth` is 1 for a
    /// member of the outermost container; `out[value..]` is the rendered
    /// value, which may be rewritten. False leaves the member out.
    fn keep(&mut self, depth: usize, name: &[u8], out: &mut String, value: usize) -> bool;
}

struct Frame {
    object: bool,
    /// Where the container's content starts in `out`.
    start: usize,
    /// The container's first entry in `members`.
    members: usize,
}

/// A member, by ranges.
struct Member {
    /// The name's first four UTF-16 units, which decide most comparisons.
    prefix: u64,
    /// Decoded name, in the text or, when it had escapes, in `decoded`.
    name: (usize, usize),
    name_is_decoded: bool,
    /// The name's offset in the text.
    offset: usize,
    /// The whole member in `out`, comma included, and its value's start.
    start: usize,
    value: usize,
    end: usize,
}

/// Renders canonical text into a buffer that is kept between texts.
///
/// Time is O(n log n) in the text's length plus, for each level of nesting
/// whose members are out of order, one copy of that level.
#[derive(Default)]
pub(crate) struct Renderer {
    out: String,
    scratch: String,
    decoded: Vec<u8>,
    members: Vec<Member>,
    frames: Vec<Frame>,
    root_is_object: bool,
}

impl Renderer {
    /// Renders `text`, with at most `max_depth` open containers.
    pub(crate) fn render(
        &mut self,
        text: &str,
        max_depth: usize,
        members: &mut impl Members,
    ) -> Result<(), Refusal> {
        self.out.clear();
        self.out.reserve(text.len() + 2);
        self.decoded.clear();
        self.members.clear();
        self.members.reserve(32);
        self.frames.clear();
        self.frames.reserve(8);
        self.root_is_object = false;
        let mut reader = Reader::new(text, max_depth);
        loop {
            match reader.next()? {
                Token::Object => {
                    self.open(true);
                    continue;
                }
                Token::Array => {
                    self.open(false);
                    continue;
                }
                Token::Name(name) => {
                    self.name(reader.token_start(), name);
                    continue;
                }
                Token::End => self.close(text)?,
                Token::String(string) => write_string(string, &mut self.out),
                Token::Number(literal) => number::write(literal, &mut self.out)
                    .map_err(|why| Refusal::new(reader.token_start(), why.into()))?,
                Token::Literal(word) => self.out.push_str(word),
                Token::Done => return Ok(()),
            }
            self.value_done(text, members);
        }
    }

    /// The result of the last call of `render`.
    pub(crate) fn text(&self) -> &str {
        &self.out
    }

    pub(crate) fn into_text(self) -> String {
        self.out
    }

    pub(crate) fn root_is_object(&self) -> bool {
        self.root_is_object
    }

    /// The offset at which a member called `name`, which is absent, belongs in
    /// the rendered root object: before the first member after it, or before
    /// the `}`.
    pub(crate) fn place_in_root(&self, text: &str, name: &str) -> usize {
        let is_before = |member: &Member| {
            let other = name_of(member, text, &self.decoded);
            utf16_order(other, name.as_bytes()) == Ordering::Less
        };
        let after = self.members.partition_point(is_before);
        match self.members[after..]
            .iter()
            .find(|member| member.end > member.start)
        {
            Some(member) => member.start,
            None => self.out.len().saturating_sub(1),
        }
    }

    fn open(&mut self, object: bool) {
        if self.frames.is_empty() {
            self.root_is_object = object;
        }
        self.out.push(if object { '{' } else { '[' });
        self.frames.push(Frame {
            object,
            start: self.out.len(),
            members: self.members.len(),
        });
    }

    fn name(&mut self, offset: usize, name: Text<'_>) {
        let start = self.out.len();
        let (range, name_is_decoded, prefix) = match name.verbatim() {
            Some(raw) => (
                (offset + 1, offset + 1 + raw.len()),
                false,
                prefix(raw.as_bytes()),
            ),
            None => {
                let start = self.decoded.len();
                decode(name, &mut self.decoded);
                (
                    (start, self.decoded.len()),
                    true,
                    prefix(&self.decoded[start..]),
                )
            }
        };
        write_string(name, &mut self.out);
        self.out.push(':');
        let value = self.out.len();
        self.members.push(Member {
            prefix,
            name: range,
            name_is_decoded,
            offset,
            start,
            value,
            end: value,
        });
    }

    /// Every value inside a container is followed by a comma; the bracket
    /// replaces the last one.
    fn value_done(&mut self, text: &str, hooks: &mut impl Members) {
        let depth = self.frames.len();
        match self.frames.last() {
            None => {}
            Some(Frame { object: false, .. }) => self.out.push(','),
            Some(_) => {
                let Some(member) = self.members.last_mut() else {
                    return;
                };
                let name = name_of(member, text, &self.decoded);
                if hooks.keep(depth, name, &mut self.out, member.value) {
                    self.out.push(',');
                } else {
                    self.out.truncate(member.start);
                }
                member.end = self.out.len();
            }
        }
    }

    fn close(&mut self, text: &str) -> Result<(), Refusal> {
        let Some(frame) = self.frames.pop() else {
            return Ok(());
        };
        if frame.object {
            self.sort(&frame, text)?;
        }
        if self.out.len() > frame.start {
            self.out.pop();
        }
        self.out.push(if frame.object { '}' } else { ']' });
        if !self.frames.is_empty() {
            self.members.truncate(frame.members);
        }
        Ok(())
    }

    fn sort(&mut self, frame: &Frame, text: &str) -> Result<(), Refusal> {
        let decoded = &self.decoded;
        let members = &mut self.members[frame.members..];
        let order = |a: &Member, b: &Member| match a.prefix.cmp(&b.prefix) {
            Ordering::Equal => utf16_order(name_of(a, text, decoded), name_of(b, text, decoded)),
            order => order,
        };
        if members.is_sorted_by(|a, b| order(a, b) == Ordering::Less) {
            return Ok(());
        }
        members.sort_unstable_by(order);
        for pair in members.windows(2) {
            if let [a, b] = pair
                && order(a, b) == Ordering::Equal
            {
                return Err(Refusal::new(a.offset.max(b.offset), RefusalKind::Repeated));
            }
        }
        self.scratch.clear();
        self.scratch.reserve(self.out.len() - frame.start);
        for member in members {
            let start = frame.start + self.scratch.len();
            self.scratch.push_str(&self.out[member.start..member.end]);
            member.start = start;
            member.end = frame.start + self.scratch.len();
        }
        self.out.truncate(frame.start);
        self.out.push_str(&self.scratch);
        Ok(())
    }
}

impl From<Unfaithful> for RefusalKind {
    fn from(why: Unfaithful) -> RefusalKind {
        match why {
            Unfaithful::Changes => RefusalKind::NumberChanges,
            Unfaithful::Overflows => RefusalKind::NumberOverflows,
        }
    }
}

fn name_of<'a>(member: &Member, text: &'a str, decoded: &'a [u8]) -> &'a [u8] {
    let from = if member.name_is_decoded {
        decoded
    } else {
        text.as_bytes()
    };
    &from[member.name.0..member.name.1]
}

#[cfg(test)]
mod tests {
    use super::*;

    struct All;

    impl Members for All {
        fn keep(&mut self, _: usize, _: &[u8], _: &mut String, _: usize) -> bool {
            true
        }
    }

    fn canonical(text: &str) -> Result<String, Refusal> {
        let mut renderer = Renderer::default();
        renderer.render(text, 128, &mut All)?;
        Ok(renderer.into_text())
    }

    #[test]
    fn members_are_sorted_at_every_level() {
        let text = r#" { "b" : [ {"z":1,"y":{"d":1.0,"c":[]}} , {} ] , "" : null, "a":true } "#;
        let sorted = r#"{"":null,"a":true,"b":[{"y":{"c":[],"d":1},"z":1},{}]}"#;
        assert_eq!(canonical(text).as_deref(), Ok(sorted));
        assert_eq!(canonical(sorted).as_deref(), Ok(sorted));
    }

    #[test]
    fn strings_are_escaped_as_ecmascript_does() {
        let text = r#""\u0000\u001F\b\f\n\r\t\u0008\"\\\/\u007f\u2028é\u00e9\ud83d\ude00\uDEAD""#;
        let written = "\"\\u0000\\u001f\\b\\f\\n\\r\\t\\b\\\"\\\\/\u{7f}\u{2028}éé😀\\udead\"";
        assert_eq!(canonical(text).as_deref(), Ok(written));
    }

    #[test]
    fn a_repeated_name_is_found_however_it_is_spelled() {
        let repeated = |text, offset| {
            assert_eq!(
                canonical(text),
                Err(Refusal::new(offset, RefusalKind::Repeated)),
                "{text}"
            );
        };
        repeated(r#"{"a":1,"\u0061":2}"#, 7);
        repeated(r#"{"b":1,"a":1,"b":2}"#, 13);
        repeated(r#"[{"x":{"\ud800":1,"\uD800":2}}]"#, 18);
        assert!(canonical(r#"[{"a":1},{"a":{"a":1}}]"#).is_ok());
    }

    #[test]
    fn names_are_in_the_order_of_their_utf16_units() {
        let names = [
            "",
            "\\u0000",
            "A",
            "a",
            "a!",
            "aa",
            "é",
            "\u{d7ff}",
            "\\ud800",
            "\\ud800x",
            "𐀀",
            "\\ud800\u{ffff}",
            "\\ud801",
            "\u{10ffff}",
            "\\udbff\u{e000}",
            "\\udc00",
            "\\udfff",
            "\u{e000}",
            "ﬁ",
            "\u{ffff}",
        ];
        let object = |names: &[&str]| {
            let members: Vec<_> = names.iter().map(|name| format!("\"{name}\":0")).collect();
            format!("{{{}}}", members.join(","))
        };
        let reversed: Vec<_> = names.iter().rev().copied().collect();
        assert_eq!(canonical(&object(&reversed)), Ok(object(&names)));
    }
}
