//! STRLEN key

use super::prelude::*;

pub(super) const STRLEN: Spec = Spec::new("strlen", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        ctx.db().read::<Bytes>(&args[1])?.map_or(0, Bytes::len),
    ))
}
