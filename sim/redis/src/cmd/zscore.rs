//! ZSCORE key member

use super::prelude::*;
use crate::value::Score;

pub(super) const ZSCORE: Spec = Spec::new("zscore", 3, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let score = ctx
        .db()
        .read::<Sorted>(&args[1])?
        .and_then(|sorted| sorted.score(&args[2]));
    Ok(score.map_or(Reply::Nil, |score| Reply::Double(Score(score))))
}
