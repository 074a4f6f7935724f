//! QUIT

use super::prelude::*;

pub(super) const QUIT: Spec = Spec::new("quit", -1, CONNECTION | FAST | NO_AUTH | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    ctx.session.closing = true;
    Ok(Reply::OK)
}
