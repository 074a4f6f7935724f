//! ZINCRBY key increment member

use super::prelude::*;
use crate::number;
use crate::value::Score;

pub(super) const ZINCRBY: Spec = Spec::new("zincrby", 4, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let increment = number::float(&args[2]).ok_or(NOT_FLOAT)?;
    let before = ctx.db().read::<Sorted>(&args[1])?;
    let before = before.and_then(|sorted| sorted.score(&args[3]));
    let after = before.map_or(increment, |before| before + increment);
    if after.is_nan() {
        return Err(Reply::fail("ERR resulting score is not a number (NaN)"));
    }
    let sorted = ctx.db().create::<Sorted>(&args[1])?;
    sorted.insert(&keep(&args[3]), after);
    ctx.db().touch(&args[1]);
    Ok(Reply::Double(Score(after)))
}
