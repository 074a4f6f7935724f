//! ZPOPMIN key [count], ZPOPMAX key [count]

use super::prelude::*;
use crate::value::Score;

pub(super) const ZPOPMIN: Spec = Spec::new("zpopmin", -2, WRITE | FAST, |ctx, args| {
    run(ctx, args, false)
})
.one_key();
pub(super) const ZPOPMAX: Spec = Spec::new("zpopmax", -2, WRITE | FAST, |ctx, args| {
    run(ctx, args, true)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], greatest: bool) -> Outcome {
    let wanted = match args {
        [_, _] => None,
        [_, _, wanted] => Some(count(wanted)?),
        _ => return Err(SYNTAX),
    };
    let taken = take(ctx, &args[1], wanted.unwrap_or(1), greatest)?;
    Ok(match (wanted, taken.first()) {
        (None, Some((member, score))) => Reply::Array(vec![
            Reply::Bulk(member.clone()),
            Reply::Double(Score(*score)),
        ]),
        (Some(_), Some(_)) => {
            let scored = taken
                .into_iter()
                .map(|(member, score)| (member, Score(score)));
            Reply::Scored(scored.collect())
        }
        (_, None) => Reply::Array(Vec::new()),
    })
}

/// Takes members with the least, or the greatest, scores.
pub(super) fn take(
    ctx: &mut Ctx<'_>,
    key: &Bytes,
    count: usize,
    greatest: bool,
) -> Result<Vec<(Bytes, f64)>, Reply> {
    let Some(sorted) = ctx.db().write::<Sorted>(key)? else {
        return Ok(Vec::new());
    };
    let copy = |(member, score): (&Bytes, f64)| (member.clone(), score);
    let taken: Vec<_> = match greatest {
        true => sorted.iter().rev().take(count).map(copy).collect(),
        false => sorted.iter().take(count).map(copy).collect(),
    };
    for (member, _) in &taken {
        sorted.remove(member);
    }
    if !taken.is_empty() {
        ctx.db().tidy(key);
    }
    Ok(taken)
}
