//! LLEN key

use super::prelude::*;

pub(super) const LLEN: Spec = Spec::new("llen", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        ctx.db().read::<List>(&args[1])?.map_or(0, List::len),
    ))
}
