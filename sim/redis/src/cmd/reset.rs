//! RESET: takes the connection back to the state in which it opened.

use super::prelude::*;

pub(super) const RESET: Spec = Spec::new("reset", 1, CONNECTION | FAST | NO_AUTH | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    ctx.session.end_transaction();
    ctx.session.watching.clear();
    ctx.session.protocol = Default::default();
    super::client::rename(ctx, Bytes::new());
    ctx.session.db = 0;
    ctx.state.switch_to(0);
    ctx.session.subscriptions = 0;
    ctx.state.pubsub.forget(ctx.session.id);
    ctx.session.user = "default".to_owned();
    ctx.session.authenticated = ctx.state.modes.requirepass.is_none();
    Ok(Reply::Status(Bytes::from_static(b"RESET")))
}
