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
    let range = ScoreRange::parse(&args[2], &args[3])?;
    let Some(sorted) = ctx.db().read::<Sorted>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let Ok(offset) = usize::try_from(offset) else {
        return Ok(Reply::Array(Vec::new()));
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(super::zrange::list(
        range.of(sorted).skip(offset).take(limit),
        with_scores,
    ))
}

/// Scores from a minimum to a maximum, each included or not.
#[derive(Clone, Copy)]
pub(super) struct ScoreRange {
    least: (f64, bool),
    most: (f64, bool),
}

impl ScoreRange {
    pub(super) fn parse(least: &[u8], most: &[u8]) -> Result<Self, Reply> {
        Ok(Self {
            least: bound(least)?,
            most: bound(most)?,
        })
    }

    /// The members whose scores are in the range, in order.
    pub(super) fn of(self, sorted: &Sorted) -> impl Iterator<Item = (&Bytes, f64)> {
        let ((least, open_below), (most, open_above)) = (self.least, self.most);
        sorted
            .from(least)
            .skip_while(move |(_, score)| open_below && *score <= least)
            .take_while(move |(_, score)| {
                if open_above {
                    *score < most
                } else {
                    *score <= most
                }
            })
    }
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
