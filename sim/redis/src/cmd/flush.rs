//! FLUSHALL [ASYNC | SYNC], FLUSHDB [ASYNC | SYNC]

use super::prelude::*;

pub(super) const FLUSHALL: Spec = Spec::new("flushall", -1, WRITE, |ctx, args| {
    check(args)?;
    ctx.state.clear_all();
    Ok(Reply::OK)
});
pub(super) const FLUSHDB: Spec = Spec::new("flushdb", -1, WRITE, |ctx, args| {
    check(args)?;
    ctx.db().clear();
    Ok(Reply::OK)
});

fn check(args: &[Bytes]) -> Result<(), Reply> {
    match args {
        [_] => Ok(()),
        [_, option] if is(option, "async") || is(option, "sync") => Ok(()),
        _ => Err(SYNTAX),
    }
}
