//! ZRANGE key start stop [WITHSCORES]: by rank only; BYSCORE, BYLEX and REV are not simulated.

use super::prelude::*;
use crate::value::Score;

pub(super) const ZRANGE: Spec = Spec::new("zrange", -4, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let with_scores = match &args[4..] {
        [] => false,
        [option] if is(option, "withscores") => true,
        _ => return Err(SYNTAX),
    };
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let Some(sorted) = ctx.db().read::<Sorted>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    let Some(range) = range(start, end, sorted.len()) else {
        return Ok(Reply::Array(Vec::new()));
    };
    Ok(list(
        sorted.iter().skip(*range.start()).take(range.count()),
        with_scores,
    ))
}

pub(super) fn list<'a>(
    members: impl Iterator<Item = (&'a Bytes, f64)>,
    with_scores: bool,
) -> Reply {
    if with_scores {
        let scored = members.map(|(member, score)| (member.clone(), Score(score)));
        Reply::Scored(scored.collect())
    } else {
        let members = members.map(|(member, _)| Reply::Bulk(member.clone()));
        Reply::Array(members.collect())
    }
}
