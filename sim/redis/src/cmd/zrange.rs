//! ZRANGE key start stop [BYSCORE | BYLEX] [REV] [LIMIT offset count] [WITHSCORES], and the older commands for one of
//! its forms each: ZREVRANGE, ZRANGEBYSCORE, ZREVRANGEBYSCORE, ZRANGEBYLEX, ZREVRANGEBYLEX

use super::prelude::*;
use super::span::{By, Span};
use crate::value::Score;

pub(super) const ZRANGE: Spec = Spec::new("zrange", -4, READONLY, |ctx, args| {
    run(ctx, args, None, false)
})
.one_key();
pub(super) const ZREVRANGE: Spec = Spec::new("zrevrange", -4, READONLY, |ctx, args| {
    run(ctx, args, Some(By::Rank), true)
})
.one_key();
pub(super) const ZRANGEBYSCORE: Spec = Spec::new("zrangebyscore", -4, READONLY, |ctx, args| {
    run(ctx, args, Some(By::Score), false)
})
.one_key();
pub(super) const ZREVRANGEBYSCORE: Spec =
    Spec::new("zrevrangebyscore", -4, READONLY, |ctx, args| {
        run(ctx, args, Some(By::Score), true)
    })
    .one_key();
pub(super) const ZRANGEBYLEX: Spec = Spec::new("zrangebylex", -4, READONLY, |ctx, args| {
    run(ctx, args, Some(By::Name), false)
})
.one_key();
pub(super) const ZREVRANGEBYLEX: Spec = Spec::new("zrevrangebylex", -4, READONLY, |ctx, args| {
    run(ctx, args, Some(By::Name), true)
})
.one_key();

struct Options {
    by: By,
    reverse: bool,
    with_scores: bool,
    offset: i64,
    limit: i64,
}

impl Options {
    /// Without a kind of range given, it is ZRANGE, whose options say it.
    fn read(mut words: &[Bytes], given: Option<By>, reverse: bool) -> Result<Options, Reply> {
        let mut by = given;
        let mut options = Options {
            by: By::Rank,
            reverse,
            with_scores: false,
            offset: 0,
            limit: -1,
        };
        while let [option, rest @ ..] = words {
            words = match rest {
                _ if is(option, "withscores") => {
                    options.with_scores = true;
                    rest
                }
                [offset, limit, rest @ ..] if is(option, "limit") => {
                    (options.offset, options.limit) = (integer(offset)?, integer(limit)?);
                    rest
                }
                _ if given.is_none() && !options.reverse && is(option, "rev") => {
                    options.reverse = true;
                    rest
                }
                _ if by.is_none() && is(option, "bylex") => {
                    by = Some(By::Name);
                    rest
                }
                _ if by.is_none() && is(option, "byscore") => {
                    by = Some(By::Score);
                    rest
                }
                _ => return Err(SYNTAX),
            };
        }
        options.by = by.unwrap_or(By::Rank);
        match options.by {
            By::Rank if options.limit != -1 => Err(Reply::fail(
                "ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
            )),
            By::Name if options.with_scores => Err(Reply::fail(
                "ERR syntax error, WITHSCORES not supported in combination with BYLEX",
            )),
            _ => Ok(options),
        }
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], by: Option<By>, reverse: bool) -> Outcome {
    let options = Options::read(&args[4..], by, reverse)?;
    // Scores and names are given from the greatest on when the range is reversed.
    let (from, to) = match options.reverse && !matches!(options.by, By::Rank) {
        true => (&args[3], &args[2]),
        false => (&args[2], &args[3]),
    };
    let span = Span::parse(options.by, from, to)?;
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    // Of ranks, LIMIT is allowed if it limits nothing, and its offset is ignored.
    let offset = match options.by {
        By::Rank => 0,
        _ => options.offset,
    };
    let (Some(sorted), Ok(offset)) = (sorted, usize::try_from(offset)) else {
        return Ok(Reply::Array(Vec::new()));
    };
    let limit = usize::try_from(options.limit).unwrap_or(usize::MAX);
    let members = span.of(sorted, options.reverse).skip(offset).take(limit);
    Ok(if options.with_scores {
        let scored = members.map(|(member, score)| (member.clone(), Score(score)));
        Reply::Scored(scored.collect())
    } else {
        let members = members.map(|(member, _)| Reply::Bulk(member.clone()));
        Reply::Array(members.collect())
    })
}
