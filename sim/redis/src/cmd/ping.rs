//! PING [message]

use super::prelude::*;

pub(super) const PING: Spec = Spec::new("ping", -1, FAST, run);

fn run(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    match args {
        [_] => Ok(Reply::Status(Bytes::from_static(b"PONG"))),
        [_, message] => Ok(Reply::Bulk(message.clone())),
        _ => Err(wrong_arity("ping")),
    }
}
