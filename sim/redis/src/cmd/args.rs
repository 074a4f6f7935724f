//! Reading arguments, with redis-server's error texts.

use crate::number;
use crate::reply::Reply;
use bytes::Bytes;

pub(super) const SYNTAX: Reply = Reply::fail("ERR syntax error");
pub(super) const NOT_INTEGER: Reply = Reply::fail("ERR value is not an integer or out of range");
pub(super) const NOT_FLOAT: Reply = Reply::fail("ERR value is not a valid float");
pub(super) const NO_KEY: Reply = Reply::fail("ERR no such key");

/// The argument as an integer.
pub(super) fn integer(word: &[u8]) -> Result<i64, Reply> {
    number::integer(word).ok_or(NOT_INTEGER)
}

/// The argument as a count that is not negative.
pub(super) fn count(word: &[u8]) -> Result<usize, Reply> {
    number::integer(word)
        .and_then(|value| usize::try_from(value).ok())
        .ok_or(Reply::fail("ERR value is out of range, must be positive"))
}

/// Whether the argument is this option, in either case.
pub(super) fn is(word: &[u8], option: &str) -> bool {
    word.eq_ignore_ascii_case(option.as_bytes())
}

pub(super) fn wrong_arity(name: &str) -> Reply {
    Reply::error(format!(
        "ERR wrong number of arguments for '{name}' command"
    ))
}

/// The part of a word that an error text repeats: up to the first zero byte.
pub(super) fn echo(word: &[u8]) -> &[u8] {
    word.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// An error that repeats `word` between two texts.
pub(super) fn echoing(before: &str, word: &[u8], after: &str) -> Reply {
    Reply::error([before.as_bytes(), echo(word), after.as_bytes()].concat())
}

/// An error of fixed texts and words in turn.
pub(super) fn echoing_all<const N: usize>(parts: [&[u8]; N]) -> Reply {
    Reply::error(parts.map(echo).concat())
}

/// A copy for the keyspace: a slice would keep the connection's whole read
/// buffer alive.
pub(super) fn keep(word: &Bytes) -> Bytes {
    Bytes::copy_from_slice(word)
}

/// The range from `start` to `end`, which count from the end when negative, cut to `length`; `None` when it is empty.
pub(super) fn range(
    start: i64,
    end: i64,
    length: usize,
) -> Option<std::ops::RangeInclusive<usize>> {
    let length = i64::try_from(length).ok()?;
    let from_start = |index: i64| {
        if index < 0 {
            index.saturating_add(length)
        } else {
            index
        }
    };
    let (start, end) = (from_start(start).max(0), from_start(end).min(length - 1));
    if start > end {
        return None;
    }
    Some(usize::try_from(start).ok()?..=usize::try_from(end).ok()?)
}

/// Whether `text` matches a glob of `*`, `?`, `[a-z]`, `[^x]` and `\` escapes.
pub(crate) fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match pattern {
        [] => text.is_empty(),
        [b'*', rest @ ..] => (0..=text.len()).any(|skip| glob(rest, &text[skip..])),
        [b'?', rest @ ..] => !text.is_empty() && glob(rest, &text[1..]),
        [b'[', class @ ..] => {
            let Some((first, text)) = text.split_first() else {
                return false;
            };
            let (negated, mut class) = match class {
                [b'^', rest @ ..] => (true, rest),
                rest => (false, rest),
            };
            let mut matched = false;
            loop {
                match class {
                    [] => break,
                    [b']', rest @ ..] => {
                        class = rest;
                        break;
                    }
                    [b'\\', byte, rest @ ..] => {
                        matched |= byte == first;
                        class = rest;
                    }
                    [from, b'-', to, rest @ ..] => {
                        matched |= (from.min(to)..=from.max(to)).contains(&first);
                        class = rest;
                    }
                    [byte, rest @ ..] => {
                        matched |= byte == first;
                        class = rest;
                    }
                }
            }
            matched != negated && glob(class, text)
        }
        [b'\\', byte, rest @ ..] | [byte, rest @ ..] => {
            text.first() == Some(byte) && glob(rest, &text[1..])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs() {
        for (pattern, text, expected) in [
            ("*", "", true),
            ("a*c", "abbc", true),
            ("a*c", "abbd", false),
            ("h?llo", "hello", true),
            ("h[ae]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("a\\*", "a*", true),
            ("a\\*", "ab", false),
        ] {
            assert_eq!(
                glob(pattern.as_bytes(), text.as_bytes()),
                expected,
                "{pattern} {text}"
            );
        }
    }

    #[test]
    fn ranges_clamp() {
        assert_eq!(range(0, -1, 3), Some(0..=2));
        assert_eq!(range(-100, 100, 3), Some(0..=2));
        assert_eq!(range(2, 1, 3), None);
        assert_eq!(range(0, -1, 0), None);
        assert_eq!(range(i64::MIN, i64::MAX, 2), Some(0..=1));
    }
}
