//! SETNX key value

use super::prelude::*;

pub(super) const SETNX: Spec = Spec::new("setnx", 3, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let absent = !ctx.db().exists(&args[1]);
    if absent {
        ctx.db().set(&args[1], Value::Text(keep(&args[2])), None);
    }
    Ok(Reply::flag(absent))
}
