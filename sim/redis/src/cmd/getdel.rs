//! GETDEL key

use super::prelude::*;

pub(super) const GETDEL: Spec = Spec::new("getdel", 2, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let reply = Reply::optional(ctx.db().read::<Bytes>(&args[1])?);
    ctx.db().remove(&args[1]);
    Ok(reply)
}
