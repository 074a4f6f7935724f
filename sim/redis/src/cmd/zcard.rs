//! ZCARD key

use super::prelude::*;

pub(super) const ZCARD: Spec = Spec::new("zcard", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        ctx.db().read::<Sorted>(&args[1])?.map_or(0, Sorted::len),
    ))
}
