//! PING [message]

use super::prelude::*;
use crate::reply::Protocol;

pub(super) const PING: Spec = Spec::new("ping", -1, FAST, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let in_resp2 = ctx.session.protocol() == Protocol::Resp2;
    match args {
        [_] | [_, _] if in_resp2 && ctx.session.is_subscribed() => {
            let message = args.get(1).cloned().unwrap_or_default();
            Ok(Reply::Array(vec![
                Reply::text("pong"),
                Reply::Bulk(message),
            ]))
        }
        [_] => Ok(Reply::Status(Bytes::from_static(b"PONG"))),
        [_, message] => Ok(Reply::Bulk(message.clone())),
        _ => Err(wrong_arity("ping")),
    }
}
