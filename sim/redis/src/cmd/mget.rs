//! MGET key [key ...]: nil also for a key that is not a string.

use super::prelude::*;

pub(super) const MGET: Spec = Spec::new("mget", -2, READONLY | FAST, run).all_keys(1);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let value = |key: &Bytes| Reply::optional(ctx.db().read::<Bytes>(key).unwrap_or_default());
    Ok(Reply::Array(args[1..].iter().map(value).collect()))
}
