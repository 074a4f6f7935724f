//! HELLO [protover [AUTH username password] [SETNAME clientname]]: chooses RESP2 or RESP3.

use super::prelude::*;
use crate::reply::Protocol;

pub(super) const HELLO: Spec =
    Spec::new("hello", -1, CONNECTION | FAST | NO_AUTH | ALLOW_BUSY, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let mut wanted = None;
    if let Some(version) = args.get(1) {
        match integer(version) {
            Ok(2) => wanted = Some(Protocol::Resp2),
            Ok(3) => wanted = Some(Protocol::Resp3),
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
            [asked, after @ ..] if is(option, "setname") => {
                name = Some(super::client::checked_name(asked)?);
                after
            }
            _ => {
                return Err(echoing("ERR Syntax error in HELLO option '", option, "'"));
            }
        };
    }
    if !ctx.session.authenticated {
        return Err(NOT_YET);
    }
    if let Some(name) = name {
        super::client::rename(ctx, name);
    }
    if let Some(wanted) = wanted {
        ctx.session.protocol = wanted;
    }
    let version = match ctx.session.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let id = i64::try_from(ctx.session.id).unwrap_or(i64::MAX);
    let role = if ctx.state.modes.readonly {
        "slave"
    } else {
        "master"
    };
    Ok(Reply::Map(vec![
        Reply::text("server"),
        Reply::text("redis"),
        Reply::text("version"),
        Reply::text(super::info::VERSION),
        Reply::text("proto"),
        Reply::Integer(version),
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
