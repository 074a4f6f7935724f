//! XADD key [NOMKSTREAM] [MAXLEN | MINID [= | ~] threshold [LIMIT count]] * | id field value [field value ...],
//! XTRIM key MAXLEN | MINID [= | ~] threshold [LIMIT count]

use super::ids;
use super::prelude::*;
use crate::stream::Keep;

pub(super) const XADD: Spec = Spec::new("xadd", -5, WRITE | DENYOOM | FAST, add).one_key();
pub(super) const XTRIM: Spec = Spec::new("xtrim", -4, WRITE, trim).one_key();

/// How many entries an approximate trim removes at most.
const LIMIT: i64 = 10_000;

#[derive(Default)]
struct Options {
    only_existing: bool,
    keep: Option<Keep>,
    approximate: bool,
    limit: Option<i64>,
}

impl Options {
    /// The options, and the words from the id on.
    fn read(mut words: &[Bytes], adds: bool) -> Result<(Options, &[Bytes]), Reply> {
        let mut options = Options::default();
        while let [option, rest @ ..] = words {
            if adds && echo(option) == b"*" {
                break;
            }
            words = match rest {
                [_, ..] if is(option, "maxlen") || is(option, "minid") => {
                    options.threshold(is(option, "maxlen"), rest)?
                }
                [limit, rest @ ..] if is(option, "limit") => {
                    options.limit = Some(integer(limit)?);
                    if integer(limit)? < 0 {
                        return Err(Reply::fail("ERR The LIMIT argument must be >= 0."));
                    }
                    rest
                }
                _ if adds && is(option, "nomkstream") => {
                    options.only_existing = true;
                    rest
                }
                _ if adds => {
                    ids::new_id(option)?;
                    break;
                }
                _ => return Err(SYNTAX),
            };
        }
        options.check(adds)?;
        Ok((options, words))
    }

    /// Reads `[= | ~] threshold`; returns the words after it.
    fn threshold<'a>(&mut self, by_length: bool, words: &'a [Bytes]) -> Result<&'a [Bytes], Reply> {
        if self.keep.is_some() {
            return Err(Reply::fail(
                "ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
            ));
        }
        let (sign, value, rest) = match words {
            [sign, value, rest @ ..] if matches!(echo(sign), b"~" | b"=") => {
                (echo(sign), value, rest)
            }
            [value, rest @ ..] => (&b""[..], value, rest),
            [] => return Err(SYNTAX),
        };
        self.approximate = sign == b"~";
        self.keep = Some(match by_length {
            true => Keep::Length(
                usize::try_from(integer(value)?)
                    .map_err(|_| Reply::fail("ERR The MAXLEN argument must be >= 0."))?,
            ),
            false => Keep::From(ids::id(value)?),
        });
        Ok(rest)
    }

    fn check(&self, adds: bool) -> Result<(), Reply> {
        let text = if self.keep.is_none() && self.limit.is_some_and(|limit| limit > 0) {
            "ERR syntax error, LIMIT cannot be used without specifying a trimming strategy"
        } else if self.keep.is_none() && !adds {
            "ERR syntax error, XTRIM must be called with a trimming strategy"
        } else if self.limit.is_some() && !self.approximate {
            "ERR syntax error, LIMIT cannot be used without the special ~ option"
        } else {
            return Ok(());
        };
        Err(Reply::fail(text))
    }

    fn apply(&self, stream: &mut Stream) -> usize {
        let limit = match self.limit.unwrap_or(LIMIT) {
            0 => usize::MAX,
            limit => usize::try_from(limit).unwrap_or(usize::MAX),
        };
        let limit = self.approximate.then_some(limit);
        self.keep.map_or(0, |keep| stream.trim(keep, limit))
    }
}

fn add(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (options, words) = Options::read(&args[2..], true)?;
    let Some((id, fields)) = words.split_first() else {
        return Err(wrong_arity("xadd"));
    };
    if fields.is_empty() || !fields.len().is_multiple_of(2) {
        return Err(wrong_arity("xadd"));
    }
    let given = match echo(id) {
        b"*" => None,
        _ => Some(ids::new_id(id)?),
    };
    if given == Some((0, Some(0))) {
        return Err(Reply::fail(
            "ERR The ID specified in XADD must be greater than 0-0",
        ));
    }
    let (db, key) = (ctx.db(), &args[1]);
    if options.only_existing && db.read::<Stream>(key)?.is_none() {
        return Ok(Reply::Nil);
    }
    let now = db.now();
    let stream = db.create::<Stream>(key)?;
    let id = next_id(stream, given, now)?;
    stream.add(id, fields.iter().map(keep).collect());
    options.apply(stream);
    db.touch(key);
    Ok(Reply::text(id.to_string()))
}

/// The id of a new entry, as it was given or by the time.
fn next_id(
    stream: &Stream,
    given: Option<(u64, Option<u64>)>,
    now: u64,
) -> Result<StreamId, Reply> {
    if stream.last == StreamId::MAX {
        return Err(Reply::fail(
            "ERR The stream has exhausted the last possible ID, unable to add more items",
        ));
    }
    let id = match given {
        None => stream.next_id(now),
        Some((ms, Some(seq))) => Some(StreamId { ms, seq }),
        Some((ms, None)) if ms == stream.last.ms => {
            let seq = stream.last.seq.checked_add(1);
            seq.map(|seq| StreamId { ms, seq })
        }
        Some((ms, None)) => Some(StreamId { ms, seq: 0 }),
    };
    id.filter(|id| *id > stream.last).ok_or(Reply::fail(
        "ERR The ID specified in XADD is equal or smaller than the target stream top item",
    ))
}

fn trim(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (options, _) = Options::read(&args[2..], false)?;
    let Some(stream) = ctx.db().write::<Stream>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let removed = options.apply(stream);
    if removed > 0 {
        ctx.db().touch(&args[1]);
    }
    Ok(Reply::count(removed))
}
