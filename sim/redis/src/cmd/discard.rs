//! DISCARD

use super::prelude::*;

pub(super) const DISCARD: Spec = Spec::new("discard", 1, CONNECTION | FAST | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    if ctx.session.end_transaction().is_none() {
        return Err(Reply::fail("ERR DISCARD without MULTI"));
    }
    ctx.session.watching.clear();
    Ok(Reply::OK)
}
