//! A strict JSON reader that keeps what a record's hash depends on: the
//! spelling of numbers, lone surrogates, repeated names, and offsets.
//!
//! It returns tokens, and has its own stack of open containers instead of
//! recursion, so nesting costs a byte per level.

use super::text::Text;

/// A token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Token<'a> {
    /// `{`
    Object,
    /// `[`
    Array,
    /// `}` or `]`, whichever is open.
    End,
    /// A member's name; its value follows.
    Name(Text<'a>),
    /// A string value.
    String(Text<'a>),
    /// A number as it is spelled.
    Number(&'a str),
    /// `true`, `false` or `null`.
    Literal(&'static str),
    /// The end of the text, after exactly one value.
    Done,
}

/// Why and where reading stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// Byte offset from the start of the text.
    pub(crate) offset: usize,
    pub(crate) kind: RefusalKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RefusalKind {
    NotJson,
    TooDeep,
    Repeated,
    NumberChanges,
    NumberOverflows,
}

impl Refusal {
    pub(crate) fn new(offset: usize, kind: RefusalKind) -> Refusal {
        Refusal { offset, kind }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Expect {
    Value,
    ValueOrEnd,
    Name,
    NameOrEnd,
    CommaOrEnd,
    Nothing,
}

/// Reads one JSON text, token by token.
pub(crate) struct Reader<'a> {
    text: &'a str,
    at: usize,
    token_start: usize,
    expect: Expect,
    /// Open containers, outermost first; true is an object.
    open: Vec<bool>,
    max_depth: usize,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(text: &'a str, max_depth: usize) -> Reader<'a> {
        Reader {
            text,
            at: 0,
            token_start: 0,
            expect: Expect::Value,
            open: Vec::with_capacity(16),
            max_depth,
        }
    }

    /// How many containers are open.
    pub(crate) fn depth(&self) -> usize {
        self.open.len()
    }

    /// Where the last token ended.
    pub(crate) fn token_end(&self) -> usize {
        self.at
    }

    /// Where the last token began.
    pub(crate) fn token_start(&self) -> usize {
        self.token_start
    }

    /// The next token. Not to be called after an error or [`Token::Done`].
    #[inline]
    pub(crate) fn next(&mut self) -> Result<Token<'a>, Refusal> {
        let mut byte = self.skip_space();
        if self.expect == Expect::CommaOrEnd && byte == Some(b',') {
            self.at += 1;
            byte = self.skip_space();
            self.expect = match self.open.last() {
                Some(true) => Expect::Name,
                _ => Expect::Value,
            };
        }
        self.token_start = self.at;
        let Some(byte) = byte else {
            return match self.expect {
                Expect::Nothing => Ok(Token::Done),
                _ => self.not_json(),
            };
        };
        match (self.expect, byte) {
            (Expect::Name | Expect::NameOrEnd, b'"') => {
                let name = self.string()?;
                if self.skip_space() != Some(b':') {
                    return self.not_json();
                }
                self.at += 1;
                self.expect = Expect::Value;
                Ok(Token::Name(name))
            }
            (Expect::NameOrEnd, b'}') => Ok(self.close()),
            (Expect::ValueOrEnd, b']') => Ok(self.close()),
            (Expect::CommaOrEnd, b'}') if self.open.last() == Some(&true) => Ok(self.close()),
            (Expect::CommaOrEnd, b']') if self.open.last() == Some(&false) => Ok(self.close()),
            (Expect::Value | Expect::ValueOrEnd, _) => self.value(byte),
            _ => self.not_json(),
        }
    }

    #[inline]
    fn value(&mut self, byte: u8) -> Result<Token<'a>, Refusal> {
        let token = match byte {
            b'{' => return self.open(true),
            b'[' => return self.open(false),
            b'"' => Token::String(self.string()?),
            b'-' | b'0'..=b'9' => Token::Number(self.number()?),
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => return self.not_json(),
        };
        self.value_read();
        Ok(token)
    }

    fn open(&mut self, object: bool) -> Result<Token<'a>, Refusal> {
        if self.open.len() >= self.max_depth {
            return Err(Refusal::new(self.at, RefusalKind::TooDeep));
        }
        self.open.push(object);
        self.at += 1;
        if object {
            self.expect = Expect::NameOrEnd;
            Ok(Token::Object)
        } else {
            self.expect = Expect::ValueOrEnd;
            Ok(Token::Array)
        }
    }

    fn close(&mut self) -> Token<'a> {
        self.open.pop();
        self.at += 1;
        self.value_read();
        Token::End
    }

    fn value_read(&mut self) {
        self.expect = match self.open.is_empty() {
            true => Expect::Nothing,
            false => Expect::CommaOrEnd,
        };
    }

    fn literal(&mut self, word: &'static str) -> Result<Token<'a>, Refusal> {
        if !self.text.as_bytes()[self.at..].starts_with(word.as_bytes()) {
            return self.not_json();
        }
        self.at += word.len();
        Ok(Token::Literal(word))
    }

    /// Reads a string from its opening to its closing quote.
    #[inline]
    fn string(&mut self) -> Result<Text<'a>, Refusal> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            self.at += plain_run(&bytes[self.at..]);
            match bytes.get(self.at) {
                Some(b'"') => break,
                Some(b'\\') => {
                    escaped = true;
                    self.at += match bytes.get(self.at + 1) {
                        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
                        Some(b'u') if self.four_hex_digits() => 6,
                        _ => return self.not_json(),
                    };
                }
                _ => return self.not_json(),
            }
        }
        self.at += 1;
        Ok(Text::new(&self.text[start..self.at], escaped))
    }

    fn four_hex_digits(&self) -> bool {
        let digits = self.text.as_bytes().get(self.at + 2..self.at + 6);
        digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit))
    }

    fn number(&mut self) -> Result<&'a str, Refusal> {
        let bytes = self.text.as_bytes();
        let start = self.at;
        if bytes[self.at] == b'-' {
            self.at += 1;
        }
        match bytes.get(self.at) {
            Some(b'0') => self.at += 1,
            _ => self.digits()?,
        }
        if bytes.get(self.at) == Some(&b'.') {
            self.at += 1;
            self.digits()?;
        }
        if let Some(b'e' | b'E') = bytes.get(self.at) {
            self.at += 1;
            if let Some(b'+' | b'-') = bytes.get(self.at) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(&self.text[start..self.at])
    }

    /// One digit or more.
    fn digits(&mut self) -> Result<(), Refusal> {
        let rest = &self.text.as_bytes()[self.at..];
        let count = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        if count == 0 {
            return self.not_json();
        }
        self.at += count;
        Ok(())
    }

    #[inline(always)]
    fn skip_space(&mut self) -> Option<u8> {
        let bytes = self.text.as_bytes();
        if let Some(byte @ 0x21..) = bytes.get(self.at) {
            return Some(*byte);
        }
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = bytes.get(self.at) {
            self.at += 1;
        }
        bytes.get(self.at).copied()
    }

    #[cold]
    fn not_json<T>(&self) -> Result<T, Refusal> {
        Err(Refusal::new(self.at, RefusalKind::NotJson))
    }
}

/// The number of bytes up to the first quote, backslash or control character.
/// Eight at a time, by "has zero byte" and "has byte less than n" of Anderson's
/// Bit Twiddling Hacks; the lowest byte they mark is always a true hit.
#[inline]
fn plain_run(bytes: &[u8]) -> usize {
    const ONES: u64 = u64::MAX / 255;
    const HIGH: u64 = ONES << 7;
    let zero = |word: u64| word.wrapping_sub(ONES) & !word;
    let (words, _) = bytes.as_chunks::<8>();
    let mut length = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let quote = zero(word ^ (ONES * u64::from(b'"')));
        let backslash = zero(word ^ (ONES * u64::from(b'\\')));
        let control = word.wrapping_sub(ONES * 0x20) & !word;
        let hit = (quote | backslash | control) & HIGH;
        if hit != 0 {
            return length + hit.trailing_zeros() as usize / 8;
        }
        length += 8;
    }
    let plain = |byte: &&u8| **byte >= 0x20 && **byte != b'"' && **byte != b'\\';
    length + bytes[length..].iter().take_while(plain).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Token<'_>>, Refusal> {
        let mut reader = Reader::new(text, 4);
        let mut tokens = Vec::new();
        loop {
            match reader.next()? {
                Token::Done => return Ok(tokens),
                token => tokens.push(token),
            }
        }
    }

    #[test]
    fn invalid_json_is_refused_with_its_offset() {
        let cases = [
            ("", 0),
            ("  ", 2),
            ("{", 1),
            ("{\"a\"}", 4),
            ("{\"a\":1,}", 7),
            ("[1,]", 3),
            ("[1}", 2),
            ("{\"a\":1]", 6),
            ("[1 2]", 3),
            ("01", 1),
            ("-", 1),
            ("1.", 2),
            ("1e+", 3),
            ("+1", 0),
            (".5", 0),
            ("nul", 0),
            ("NaN", 0),
            ("1 1", 2),
            ("\"\u{1}\"", 1),
            ("\"\\x\"", 1),
            ("\"\\u12g4\"", 1),
            ("\"\\u123", 1),
            ("\"abc", 4),
            ("{a:1}", 1),
            ("\u{feff}{}", 0),
            ("[,1]", 1),
        ];
        for (text, offset) in cases {
            assert_eq!(
                read(text),
                Err(Refusal::new(offset, RefusalKind::NotJson)),
                "{text:?}"
            );
        }
        assert_eq!(
            read("[[[[[]]]]]"),
            Err(Refusal::new(4, RefusalKind::TooDeep))
        );
        assert_eq!(read(" [[[[ ]]]] ").map(|tokens| tokens.len()), Ok(8));
    }

    #[test]
    fn a_plain_run_ends_at_the_first_special_byte() {
        for stop in [b'"', b'\\', 0, 0x1f, 0x0a] {
            for length in 0..40 {
                let mut bytes = vec![0xff; length];
                bytes.extend([stop, b'x', b'"', 0x20, 0x80, 0x7f, 0x23, 0x5d, 0x21, 0x1f]);
                assert_eq!(plain_run(&bytes), length, "{stop} at {length}");
                assert_eq!(plain_run(&bytes[..length]), length);
            }
        }
        let harmless: Vec<u8> = (0x20..=0xff)
            .filter(|b| *b != b'"' && *b != b'\\')
            .collect();
        assert_eq!(plain_run(&harmless), harmless.len());
    }

    /// Would catch a literal that is taken for another, or refused.
    #[test]
    fn literals_are_distinguished() {
        for word in ["true", "false", "null"] {
            assert_eq!(read(word), Ok(vec![Token::Literal(word)]));
        }
    }
}
