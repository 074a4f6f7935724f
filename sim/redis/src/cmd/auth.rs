//! AUTH [username] password

use super::prelude::*;

pub(super) const AUTH: Spec = Spec::new("auth", -2, CONNECTION | FAST | NO_AUTH | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let modes = &ctx.state.modes;
    match args {
        [_, _] if modes.requirepass.is_none() => Err(NO_PASSWORD),
        [_, password] => modes
            .log_in(ctx.session, b"default", password)
            .map(|()| Reply::OK),
        [_, user, password] => modes
            .log_in(ctx.session, user, password)
            .map(|()| Reply::OK),
        _ => Err(SYNTAX),
    }
}

const NO_PASSWORD: Reply = Reply::fail(
    "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration \
     is correct?",
);
