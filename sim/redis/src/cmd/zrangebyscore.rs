//! ZRANGEBYSCORE key min max [WITHSCORES] [LIMIT offset count]; `(` in front of a bound excludes it.

use super::prelude::*;
use crate::number;

pub(super) const ZRANGEBYSCORE: Spec = Spec::new("zrangebyscore", -4, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (mut with_scores, mut offset, mut limit) = (false, 0, -1);
    let mut words = &args[4..];
    while let [option, rest @ ..] = words {
        words = match rest {
            _ if is(option, "withscores") => {
                with_scores = true;
                rest
            }
            [first, second, rest @ ..] if is(option, "limit") => {
                (offset, limit) = (integer(first)?, integer(second)?);
                rest
            }
            _ => return Err(SYNTAX),
        };
    }
    let ((least, open_below), (most, open_above)) = (bound(&args[2])?, bound(&args[3])?);
    let Some(sorted) = ctx.db().read::<Sorted>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let Ok(offset) = usize::try_from(offset) else {
        return Ok(Reply::Array(Vec::new()));
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let within = sorted
        .from(least)
        .skip_while(|(_, score)| open_below && *score <= least)
        .take_while(|(_, score)| {
            if open_above {
                *score < most
            } else {
                *score <= most
            }
        });
    Ok(super::zrange::list(
        within.skip(offset).take(limit),
        with_scores,
    ))
}

fn bound(word: &[u8]) -> Result<(f64, bool), Reply> {
    let (word, open) = match word {
        [b'(', rest @ ..] => (rest, true),
        word => (word, false),
    };
    number::bound(word)
        .map(|value| (value, open))
        .ok_or(Reply::fail("ERR min or max is not a float"))
}
