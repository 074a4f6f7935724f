//! HMGET key field [field ...]

use super::prelude::*;

pub(super) const HMGET: Spec = Spec::new("hmget", -3, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let hash = ctx.db().read::<Hash>(&args[1])?;
    let value = |field| Reply::optional(hash.and_then(|hash| hash.get(field)));
    Ok(Reply::Array(args[2..].iter().map(value).collect()))
}
