//! ZSCORE key member, ZMSCORE key member [member ...]

use super::prelude::*;
use crate::value::Score;

pub(super) const ZSCORE: Spec = Spec::new("zscore", 3, READONLY | FAST, |ctx, args| {
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    Ok(score(sorted, &args[2]))
})
.one_key();
pub(super) const ZMSCORE: Spec = Spec::new("zmscore", -3, READONLY | FAST, |ctx, args| {
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    let scores = args[2..].iter().map(|member| score(sorted, member));
    Ok(Reply::Array(scores.collect()))
})
.one_key();

fn score(sorted: Option<&Sorted>, member: &Bytes) -> Reply {
    let score = sorted.and_then(|sorted| sorted.score(member));
    score.map_or(Reply::Nil, |score| Reply::Double(Score(score)))
}
