//! WATCH key [key ...], UNWATCH

use super::prelude::*;

pub(super) const WATCH: Spec =
    Spec::new("watch", -2, CONNECTION | FAST | ALLOW_BUSY, watch).all_keys(1);
pub(super) const UNWATCH: Spec = Spec::new("unwatch", 1, CONNECTION | FAST | ALLOW_BUSY, unwatch);

fn watch(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if ctx.session.queue.is_some() {
        return Err(Reply::fail("ERR WATCH inside MULTI is not allowed"));
    }
    for key in &args[1..] {
        let stamp = ctx.db().watch(key);
        if !ctx
            .session
            .watching
            .iter()
            .any(|(db, watched, _)| *db == ctx.session.db && watched == key)
        {
            ctx.session
                .watching
                .push((ctx.session.db, keep(key), stamp));
        }
    }
    Ok(Reply::OK)
}

fn unwatch(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    ctx.session.watching.clear();
    Ok(Reply::OK)
}
