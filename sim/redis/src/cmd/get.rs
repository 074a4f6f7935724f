//! GET key

use super::prelude::*;

pub(super) const GET: Spec = Spec::new("get", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::optional(ctx.db().read::<Bytes>(&args[1])?))
}
