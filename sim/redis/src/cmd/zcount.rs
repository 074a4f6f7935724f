//! ZCOUNT key min max; `(` in front of a bound excludes it.

use super::prelude::*;
use super::zrangebyscore::ScoreRange;

pub(super) const ZCOUNT: Spec = Spec::new("zcount", 4, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let range = ScoreRange::parse(&args[2], &args[3])?;
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    Ok(Reply::count(
        sorted.map_or(0, |sorted| range.of(sorted).count()),
    ))
}
