//! FLUSHALL [ASYNC | SYNC], FLUSHDB [ASYNC | SYNC]: the same, because there is one database.

use super::prelude::*;

pub(super) const FLUSHALL: Spec = Spec::new("flushall", -1, WRITE, run);
pub(super) const FLUSHDB: Spec = Spec::new("flushdb", -1, WRITE, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    match args {
        [_] => {}
        [_, option] if is(option, "async") || is(option, "sync") => {}
        _ => return Err(SYNTAX),
    }
    ctx.db().clear();
    Ok(Reply::OK)
}
