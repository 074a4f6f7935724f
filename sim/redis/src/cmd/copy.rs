//! COPY source destination [DB database] [REPLACE]

use super::prelude::*;
use crate::state::DATABASES;

pub(super) const COPY: Spec = Spec::new("copy", -3, WRITE | DENYOOM, run).two_keys();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (from, to, own) = (&args[1], &args[2], ctx.session.db);
    let (mut db, mut replaces, mut words) = (own, false, &args[3..]);
    while let [option, rest @ ..] = words {
        words = match rest {
            _ if is(option, "replace") => {
                replaces = true;
                rest
            }
            [number, rest @ ..] if is(option, "db") => {
                db = database(number)?;
                rest
            }
            _ => return Err(SYNTAX),
        };
    }
    if db == own && from == to {
        return Err(Reply::fail(
            "ERR source and destination objects are the same",
        ));
    }
    let Some(value) = ctx.db().get(from).cloned() else {
        return Ok(Reply::Integer(0));
    };
    let expires_at = ctx.db().expires_at(from);
    ctx.state.switch_to(db);
    let is_free = replaces || !ctx.db().exists(to);
    if is_free {
        ctx.db().set(to, value, expires_at);
    }
    ctx.state.switch_to(own);
    Ok(Reply::flag(is_free))
}

fn database(word: &Bytes) -> Result<i64, Reply> {
    let number = integer(word)?;
    if i32::try_from(number).is_err() {
        return Err(Reply::fail(
            "ERR value is out of range, value must between -2147483648 and 2147483647",
        ));
    }
    match (0..DATABASES).contains(&number) {
        true => Ok(number),
        false => Err(Reply::fail("ERR DB index is out of range")),
    }
}
