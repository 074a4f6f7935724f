//! Reads JSON as lua-cjson does, which also accepts hexadecimal numbers, infinities and leading zeros.

use super::MAX_DEPTH;
use crate::script::raise;
use crate::strtod::strtod;
use mlua::{Lua, LuaString, Table, Value};

enum Token {
    ObjectBegin,
    ObjectEnd,
    ArrayBegin,
    ArrayEnd,
    Text(Vec<u8>),
    Number(f64),
    Boolean(bool),
    Null,
    Colon,
    Comma,
    End,
    Bad(&'static str),
}

impl Token {
    fn name(&self) -> &'static str {
        match self {
            Token::ObjectBegin => "T_OBJ_BEGIN",
            Token::ObjectEnd => "T_OBJ_END",
            Token::ArrayBegin => "T_ARR_BEGIN",
            Token::ArrayEnd => "T_ARR_END",
            Token::Text(_) => "T_STRING",
            Token::Number(_) => "T_NUMBER",
            Token::Boolean(_) => "T_BOOLEAN",
            Token::Null => "T_NULL",
            Token::Colon => "T_COLON",
            Token::Comma => "T_COMMA",
            Token::End => "T_END",
            Token::Bad(what) => what,
        }
    }
}

struct Reader<'a> {
    lua: &'a Lua,
    text: &'a [u8],
    at: usize,
    /// Where the last token began, or was wrong.
    token_at: usize,
    depth: usize,
}

pub(super) fn decode(lua: &Lua, text: &LuaString) -> mlua::Result<Value> {
    let text = text.as_bytes();
    if let [first, second, ..] = &text[..]
        && (*first == 0 || *second == 0)
    {
        return Err(raise::at_caller(
            lua,
            "JSON parser does not support UTF-16 or UTF-32",
        ));
    }
    let mut reader = Reader {
        lua,
        text: &text,
        at: 0,
        token_at: 0,
        depth: 0,
    };
    let value = reader.value()?;
    match reader.next() {
        Token::End => Ok(value),
        token => Err(reader.unexpected("the end", &token)),
    }
}

impl Reader<'_> {
    fn unexpected(&self, expected: &str, found: &Token) -> mlua::Error {
        let (found, place) = (found.name(), self.token_at + 1);
        raise::at_caller(
            self.lua,
            &format!("Expected {expected} but found {found} at character {place}"),
        )
    }

    /// Reads a whole value. Does not recurse: a thread's stack might be too small for the deepest values.
    fn value(&mut self) -> mlua::Result<Value> {
        let mut open: Vec<(Table, Option<Vec<u8>>)> = Vec::new();
        let mut token = self.next();
        loop {
            let mut value = match token {
                Token::Text(text) => Value::String(self.lua.create_string(text)?),
                Token::Number(value) => Value::Number(value),
                Token::Boolean(value) => Value::Boolean(value),
                Token::Null => Value::NULL,
                Token::ObjectBegin => {
                    let table = self.descend()?;
                    match self.next() {
                        Token::ObjectEnd => self.ascend(table),
                        name => {
                            open.push((table, Some(self.key(name)?)));
                            token = self.next();
                            continue;
                        }
                    }
                }
                Token::ArrayBegin => {
                    let table = self.descend()?;
                    match self.next() {
                        Token::ArrayEnd => self.ascend(table),
                        first => {
                            open.push((table, None));
                            token = first;
                            continue;
                        }
                    }
                }
                token => return Err(self.unexpected("value", &token)),
            };
            // The value may end its container, and that container the next.
            loop {
                let Some((table, key)) = open.pop() else {
                    return Ok(value);
                };
                match key {
                    Some(key) => {
                        table.raw_set(self.lua.create_string(key)?, value)?;
                        match self.next() {
                            Token::ObjectEnd => value = self.ascend(table),
                            Token::Comma => {
                                let name = self.next();
                                open.push((table, Some(self.key(name)?)));
                                break;
                            }
                            token => return Err(self.unexpected("comma or object end", &token)),
                        }
                    }
                    None => {
                        table.raw_push(value)?;
                        match self.next() {
                            Token::ArrayEnd => value = self.ascend(table),
                            Token::Comma => {
                                open.push((table, None));
                                break;
                            }
                            token => return Err(self.unexpected("comma or array end", &token)),
                        }
                    }
                }
            }
            token = self.next();
        }
    }

    fn descend(&mut self) -> mlua::Result<Table> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            let text = format!(
                "Found too many nested data structures ({}) at character {}",
                self.depth, self.at
            );
            return Err(raise::at_caller(self.lua, &text));
        }
        self.lua.create_table()
    }

    fn ascend(&mut self, table: Table) -> Value {
        self.depth -= 1;
        Value::Table(table)
    }

    /// Reads a member's name and the colon after it.
    fn key(&mut self, token: Token) -> mlua::Result<Vec<u8>> {
        let Token::Text(key) = token else {
            return Err(self.unexpected("object key string", &token));
        };
        match self.next() {
            Token::Colon => Ok(key),
            token => Err(self.unexpected("colon", &token)),
        }
    }

    fn next(&mut self) -> Token {
        while matches!(self.text.get(self.at), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
        self.token_at = self.at;
        let rest = &self.text[self.at..];
        let (token, length) = match rest {
            [] | [0, ..] => (Token::End, 0),
            [b'{', ..] => (Token::ObjectBegin, 1),
            [b'}', ..] => (Token::ObjectEnd, 1),
            [b'[', ..] => (Token::ArrayBegin, 1),
            [b']', ..] => (Token::ArrayEnd, 1),
            [b':', ..] => (Token::Colon, 1),
            [b',', ..] => (Token::Comma, 1),
            [b'"', ..] => {
                self.at += 1;
                return self.string();
            }
            [b'-' | b'0'..=b'9', ..] => number(rest),
            rest if rest.starts_with(b"true") => (Token::Boolean(true), 4),
            rest if rest.starts_with(b"false") => (Token::Boolean(false), 5),
            rest if rest.starts_with(b"null") => (Token::Null, 4),
            [b'+' | b'i' | b'I' | b'n' | b'N', ..] => match number(rest) {
                (Token::Bad(_), _) if rest[0] != b'+' => (Token::Bad("invalid token"), 0),
                token => token,
            },
            _ => (Token::Bad("invalid token"), 0),
        };
        self.at += length;
        token
    }

    fn string(&mut self) -> Token {
        let mut text = Vec::new();
        loop {
            let rest = &self.text[self.at..];
            match rest {
                [] | [0, ..] => {
                    self.token_at = self.at;
                    return Token::Bad("unexpected end of string");
                }
                [b'"', ..] => {
                    self.at += 1;
                    return Token::Text(text);
                }
                [b'\\', b'u', ..] => match unicode(rest) {
                    Some((symbol, length)) => {
                        text.extend(symbol.encode_utf8(&mut [0; 4]).as_bytes());
                        self.at += length;
                    }
                    None => {
                        self.token_at = self.at;
                        return Token::Bad("invalid unicode escape code");
                    }
                },
                [b'\\', escaped, ..] => {
                    text.push(match escaped {
                        b'"' | b'\\' | b'/' => *escaped,
                        b'b' => 8,
                        b't' => 9,
                        b'n' => 10,
                        b'f' => 12,
                        b'r' => 13,
                        _ => {
                            self.token_at = self.at;
                            return Token::Bad("invalid escape code");
                        }
                    });
                    self.at += 2;
                }
                [b'\\'] => {
                    self.token_at = self.at;
                    return Token::Bad("invalid escape code");
                }
                [byte, ..] => {
                    text.push(*byte);
                    self.at += 1;
                }
            }
        }
    }
}

/// The character of `\uXXXX`, or of two that are a pair of surrogates, and the length of what was read.
fn unicode(text: &[u8]) -> Option<(char, usize)> {
    let unit = |text: &[u8]| {
        let digits = text.strip_prefix(b"\\u")?.get(..4)?;
        digits.iter().try_fold(0, |value, digit| {
            Some(value * 16 + char::from(*digit).to_digit(16)?)
        })
    };
    let first = unit(text)?;
    if !(0xd800..0xe000).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    let second = unit(text.get(6..)?)?;
    if first >= 0xdc00 || !(0xdc00..0xe000).contains(&second) {
        return None;
    }
    Some((
        char::from_u32(0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00))?,
        12,
    ))
}

/// The longest number at the front that C's `strtod` reads.
fn number(text: &[u8]) -> (Token, usize) {
    match strtod(text) {
        Some((value, length)) => (Token::Number(value), length),
        None => (Token::Bad("invalid number"), 0),
    }
}
