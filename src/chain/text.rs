//! JSON strings: escapes, canonical form, and order by UTF-16 code units.

use std::borrow::Cow;
use std::cmp::Ordering;

/// A string as in the text, with valid escapes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Text<'a> {
    quoted: &'a str,
    escaped: bool,
}

impl<'a> Text<'a> {
    /// `quoted` has its quotes and valid escapes, if any.
    pub(crate) fn new(quoted: &'a str, escaped: bool) -> Text<'a> {
        Text { quoted, escaped }
    }

    /// The string itself, if nothing in it is escaped.
    pub(crate) fn verbatim(&self) -> Option<&'a str> {
        (!self.escaped).then_some(self.raw())
    }

    /// The string with its quotes, if nothing in it is escaped.
    pub(crate) fn verbatim_quoted(&self) -> Option<&'a str> {
        (!self.escaped).then_some(self.quoted)
    }

    fn raw(&self) -> &'a str {
        &self.quoted[1..self.quoted.len() - 1]
    }

    pub(crate) fn pieces(&self) -> Pieces<'a> {
        Pieces { rest: self.raw() }
    }

    /// The string with lone surrogates replaced.
    #[inline]
    pub(crate) fn to_str_lossy(self) -> Cow<'a, str> {
        if let Some(text) = self.verbatim() {
            return Cow::Borrowed(text);
        }
        let mut text = String::with_capacity(self.quoted.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => text.push_str(run),
                Piece::Char(c) => text.push(c),
                Piece::Lone(_) => text.push(char::REPLACEMENT_CHARACTER),
            }
        }
        Cow::Owned(text)
    }

    /// Whether the string, its escapes resolved, is `name`.
    pub(crate) fn is(&self, name: &str) -> bool {
        match self.verbatim() {
            Some(text) => text == name,
            None => self.to_str_lossy() == name,
        }
    }
}

/// A part of a string with its escapes resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// Unescaped characters.
    Run(&'a str),
    /// One escaped character, or an escaped surrogate pair.
    Char(char),
    /// An escaped surrogate without its other half.
    Lone(u16),
}

/// The pieces of a checked string, in order.
pub(crate) struct Pieces<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        let bytes = self.rest.as_bytes();
        if *bytes.first()? != b'\\' {
            let end = self.rest.find('\\').unwrap_or(self.rest.len());
            let (run, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Piece::Run(run));
        }
        let (piece, taken) = match bytes.get(1)? {
            b'b' => (Piece::Char('\u{8}'), 2),
            b'f' => (Piece::Char('\u{c}'), 2),
            b'n' => (Piece::Char('\n'), 2),
            b'r' => (Piece::Char('\r'), 2),
            b't' => (Piece::Char('\t'), 2),
            b'u' => unicode_escape(bytes)?,
            other => (Piece::Char(char::from(*other)), 2),
        };
        self.rest = self.rest.get(taken..)?;
        Some(piece)
    }
}

/// Reads `\uXXXX`, or two of them that form one character.
fn unicode_escape(bytes: &[u8]) -> Option<(Piece<'static>, usize)> {
    let unit = hex4(bytes.get(2..6)?)?;
    if let Some(c) = char::from_u32(u32::from(unit)) {
        return Some((Piece::Char(c), 6));
    }
    let second = match bytes.get(6..12) {
        Some([b'\\', b'u', digits @ ..]) => hex4(digits),
        _ => None,
    };
    let pair = second.and_then(|second| char::decode_utf16([unit, second]).next()?.ok());
    Some(pair.map_or((Piece::Lone(unit), 6), |c| (Piece::Char(c), 12)))
}

fn hex4(digits: &[u8]) -> Option<u16> {
    digits.iter().try_fold(0u16, |unit, digit| {
        let value = char::from(*digit).to_digit(16)?;
        Some(unit << 4 | u16::try_from(value).ok()?)
    })
}

/// Appends `text` with its quotes as `JSON.stringify` writes it.
pub(crate) fn write_string(text: Text<'_>, out: &mut String) {
    // ECMAScript never escapes a character that may be unescaped in valid JSON.
    if let Some(quoted) = text.verbatim_quoted() {
        return out.push_str(quoted);
    }
    out.push('"');
    for piece in text.pieces() {
        match piece {
            Piece::Run(run) => out.push_str(run),
            Piece::Char(c) => write_char(c, out),
            Piece::Lone(unit) => write_unit(unit, out),
        }
    }
    out.push('"');
}

/// Appends `text` with its quotes, from a string that is not JSON.
pub(crate) fn write_plain_string(text: &str, out: &mut String) {
    out.push('"');
    write_escaped(text, out);
    out.push('"');
}

/// Appends the part of `text` between its quotes.
pub(crate) fn write_escaped(text: &str, out: &mut String) {
    text.chars().for_each(|c| write_char(c, out));
}

fn write_char(c: char, out: &mut String) {
    match c {
        '"' => out.push_str("\\\""),
        '\\' => out.push_str("\\\\"),
        '\u{8}' => out.push_str("\\b"),
        '\u{c}' => out.push_str("\\f"),
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        control @ '\0'..='\u{1f}' => write_unit(control as u16, out),
        other => out.push(other),
    }
}

/// Appends a code unit as its escape, `\u` and four digits.
pub(crate) fn write_unit(unit: u16, out: &mut String) {
    out.push_str("\\u");
    for shift in [12, 8, 4, 0] {
        let digit = char::from_digit(u32::from(unit >> shift & 0xf), 16);
        out.push(digit.unwrap_or('0'));
    }
}

/// Appends the name as WTF-8: UTF-8 in which a lone surrogate is encoded like
/// any other code point. Pairs are one character, so this is unambiguous.
pub(crate) fn decode(name: Text<'_>, out: &mut Vec<u8>) {
    for piece in name.pieces() {
        match piece {
            Piece::Run(run) => out.extend_from_slice(run.as_bytes()),
            Piece::Char(c) => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
            Piece::Lone(unit) => {
                let low = |bits: u16| 0x80 | (bits & 0x3f) as u8;
                out.extend([0xe0 | (unit >> 12) as u8, low(unit >> 6), low(unit)]);
            }
        }
    }
}

/// The order of two WTF-8 strings by UTF-16 code units.
///
/// Bytes are in code point order, which is the same except for characters above
/// U+FFFF: as surrogates they come before U+E000 to U+FFFF.
pub(crate) fn utf16_order(a: &[u8], b: &[u8]) -> Ordering {
    let common = a.iter().zip(b).take_while(|(a, b)| a == b).count();
    match (a.get(common), b.get(common)) {
        (Some(&x), Some(&y)) if x.max(y) >= 0xf0 && x.min(y) >= 0xed => {
            units(&a[common..]).cmp(units(&b[common..]))
        }
        (x, y) => x.cmp(&y),
    }
}

/// The first four UTF-16 code units, padded with zeros: never ordered
/// differently from the whole strings, but often equal.
pub(crate) fn prefix(bytes: &[u8]) -> u64 {
    let mut units = units(bytes);
    (0..4).fold(0, |prefix, _| {
        prefix << 16 | u64::from(units.next().unwrap_or(0))
    })
}

/// The UTF-16 code units of WTF-8 that starts at a character.
fn units(bytes: &[u8]) -> impl Iterator<Item = u16> {
    let low = |byte: Option<&u8>| u32::from(byte.map_or(0, |byte| byte & 0x3f));
    let mut rest = bytes;
    let mut trail = None;
    std::iter::from_fn(move || {
        if let Some(unit) = trail.take() {
            return Some(unit);
        }
        let lead = u32::from(*rest.first()?);
        let (code, length) = match lead {
            0..0x80 => (lead, 1),
            0x80..0xe0 => ((lead & 0x1f) << 6 | low(rest.get(1)), 2),
            0xe0..0xf0 => (
                (lead & 0xf) << 12 | low(rest.get(1)) << 6 | low(rest.get(2)),
                3,
            ),
            _ => {
                let high = (lead & 0x7) << 18 | low(rest.get(1)) << 12;
                (high | low(rest.get(2)) << 6 | low(rest.get(3)), 4)
            }
        };
        rest = rest.get(length..).unwrap_or(&[]);
        if code < 0x1_0000 {
            return Some(code as u16);
        }
        let code = code - 0x1_0000;
        trail = Some(0xdc00 | (code & 0x3ff) as u16);
        Some(0xd800 | (code >> 10) as u16)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Names with characters for which UTF-8 and UTF-16 order differ.
    fn name() -> impl Strategy<Value = String> {
        let edges = vec![
            '\0',
            'a',
            'ß',
            'à',
            '\u{d7ff}',
            '\u{e000}',
            '\u{ffff}',
            '𐀀',
            '\u{10ffff}',
        ];
        let chars = prop::collection::vec(prop::sample::select(edges), 0..8);
        chars.prop_map(String::from_iter)
    }

    proptest! {
        /// Would catch code point order after a common beginning, where the
        /// prefix does not decide.
        #[test]
        fn names_are_ordered_by_utf16_units_wherever_they_differ(
            begin in name(), a in name(), b in name(),
        ) {
            let (a, b) = (format!("{begin}{a}"), format!("{begin}{b}"));
            let expected = a.encode_utf16().cmp(b.encode_utf16());
            let (x, y) = (a.as_bytes(), b.as_bytes());
            prop_assert_eq!(utf16_order(x, y), expected);
            let by_prefix = prefix(x).cmp(&prefix(y));
            prop_assert!(by_prefix == Ordering::Equal || by_prefix == expected);
        }

        /// Would catch a code unit built from the wrong bits.
        #[test]
        fn units_are_those_of_utf16(edges in name(), any in any::<String>()) {
            let text = format!("{edges}{any}aß\u{3b1}\u{ffff}😀");
            prop_assert!(units(text.as_bytes()).eq(text.encode_utf16()));
        }
    }

    #[test]
    fn escapes_are_resolved_and_lone_surrogates_kept() {
        let quoted = r#""a\u0062\ud83d\ude00\ud83d\ud800x\ude00\/\n""#;
        let pieces: Vec<_> = Text::new(quoted, true).pieces().collect();
        assert_eq!(
            pieces,
            [
                Piece::Run("a"),
                Piece::Char('b'),
                Piece::Char('😀'),
                Piece::Lone(0xd83d),
                Piece::Lone(0xd800),
                Piece::Run("x"),
                Piece::Lone(0xde00),
                Piece::Char('/'),
                Piece::Char('\n'),
            ]
        );
    }
}
