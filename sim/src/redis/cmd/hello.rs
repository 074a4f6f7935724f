//! HELLO [protover [AUTH username password] [SETNAME clientname]]: RESP2 only.

use super::prelude::*;

pub(super) const HELLO: Spec =
    Spec::new("hello", -1, CONNECTION | FAST | NO_AUTH | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if let Some(version) = args.get(1) {
        match integer(version) {
            Ok(2) => {}
            Ok(_) => return Err(Reply::fail("NOPROTO unsupported protocol version")),
            Err(_) => {
                return Err(Reply::fail(
                    "ERR Protocol version is not an integer or out of range",
                ));
            }
        }
    }
    let mut name = None;
    let mut rest = args.get(2..).unwrap_or_default();
    while let Some((option, after)) = rest.split_first() {
        rest = match after {
            [user, password, after @ ..] if is(option, "auth") => {
                ctx.state.modes.log_in(ctx.session, user, password)?;
                after
            }
            [wanted, after @ ..] if is(option, "setname") => {
                name = Some(super::client::checked_name(wanted)?);
                after
            }
            _ => {
                let option = String::from_utf8_lossy(option);
                return Err(Reply::error(format!(
                    "ERR Syntax error in HELLO option '{option}'"
                )));
            }
        };
    }
    if !ctx.session.authenticated {
        return Err(NOT_YET);
    }
    if let Some(name) = name {
        ctx.session.name = name;
    }
    let id = i64::try_from(ctx.session.id).unwrap_or(i64::MAX);
    let role = if ctx.state.modes.readonly {
        "slave"
    } else {
        "master"
    };
    Ok(Reply::Array(vec![
        Reply::text("server"),
        Reply::text("redis"),
        Reply::text("version"),
        Reply::text(super::info::VERSION),
        Reply::text("proto"),
        Reply::Integer(2),
        Reply::text("id"),
        Reply::Integer(id),
        Reply::text("mode"),
        Reply::text("standalone"),
        Reply::text("role"),
        Reply::text(role),
        Reply::text("modules"),
        Reply::Array(Vec::new()),
    ]))
}

const NOT_YET: Reply = Reply::fail(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO AUTH <user> <pass> option \
     can be used to authenticate the client and select the RESP protocol version at the same time",
);
