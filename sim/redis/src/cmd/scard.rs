//! SCARD key

use super::prelude::*;

pub(super) const SCARD: Spec = Spec::new("scard", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        ctx.db().read::<Set>(&args[1])?.map_or(0, Set::len),
    ))
}
