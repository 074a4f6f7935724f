//! SCAN cursor [MATCH pattern] [COUNT count] [TYPE type]: everything in one reply, in byte order.

use super::prelude::*;

pub(super) const SCAN: Spec = Spec::new("scan", -2, READONLY, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    cursor(&args[1])?;
    let options = Options::read(&args[2..], true)?;
    ctx.db().expire_all();
    let keys = ctx.db().iter().filter(|(key, value)| {
        options.matches(key)
            && options
                .kind
                .as_ref()
                .is_none_or(|kind| is(kind, value.type_name()))
    });
    let keys = keys.map(|(key, _)| Reply::Bulk(key.clone())).collect();
    Ok(page(0, keys))
}

pub(super) struct Options {
    pattern: Option<Bytes>,
    kind: Option<Bytes>,
    /// How many items a page has.
    pub(super) count: usize,
}

impl Options {
    pub(super) fn read(mut words: &[Bytes], typed: bool) -> Result<Options, Reply> {
        let mut options = Options {
            pattern: None,
            kind: None,
            count: 10,
        };
        while let [option, value, rest @ ..] = words {
            if is(option, "match") {
                options.pattern = Some(value.clone());
            } else if is(option, "count") {
                let count = integer(value)?;
                if count < 1 {
                    return Err(SYNTAX);
                }
                options.count = usize::try_from(count).unwrap_or(usize::MAX);
            } else if typed && is(option, "type") {
                options.kind = Some(value.clone());
            } else {
                return Err(SYNTAX);
            }
            words = rest;
        }
        if words.is_empty() {
            Ok(options)
        } else {
            Err(SYNTAX)
        }
    }

    pub(super) fn matches(&self, text: &[u8]) -> bool {
        self.pattern
            .as_ref()
            .is_none_or(|pattern| glob(pattern, text))
    }
}

/// A cursor as C's `strtoul` reads it, with its sign.
pub(super) fn cursor(word: &[u8]) -> Result<u64, Reply> {
    const INVALID: Reply = Reply::fail("ERR invalid cursor");
    let word = echo(word);
    let (negative, digits) = match word {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    // `strtoul` reads an empty word as 0, but not a sign alone.
    if digits.is_empty() {
        return if word.is_empty() { Ok(0) } else { Err(INVALID) };
    }
    let mut value: u64 = 0;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(INVALID);
        }
        value = value
            .checked_mul(10)
            .and_then(|value| value.checked_add(u64::from(digit - b'0')))
            .ok_or(INVALID)?;
    }
    Ok(if negative {
        value.wrapping_neg()
    } else {
        value
    })
}

/// A page of a scan, after which so many items are left.
pub(super) fn page(left: usize, items: Vec<Reply>) -> Reply {
    Reply::Array(vec![Reply::text(left.to_string()), Reply::Array(items)])
}
