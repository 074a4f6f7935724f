//! GETSET key value

use super::prelude::*;

pub(super) const GETSET: Spec = Spec::new("getset", 3, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let before = Reply::optional(ctx.db().read::<Bytes>(&args[1])?);
    ctx.db().set(&args[1], Value::Text(keep(&args[2])), None);
    Ok(before)
}
