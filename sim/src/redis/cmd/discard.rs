//! DISCARD

use super::prelude::*;

pub(super) const DISCARD: Spec = Spec::new("discard", 1, CONNECTION | FAST | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    ctx.session.watching.clear();
    match ctx.session.end_transaction() {
        Some(_) => Ok(Reply::OK),
        None => Err(Reply::fail("ERR DISCARD without MULTI")),
    }
}
