//! MULTI

use super::prelude::*;

pub(super) const MULTI: Spec = Spec::new("multi", 1, CONNECTION | FAST | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    if ctx.session.queue.is_some() {
        return Err(Reply::fail("ERR MULTI calls can not be nested"));
    }
    ctx.session.queue = Some(Vec::new());
    Ok(Reply::OK)
}
