//! HSETNX key field value

use super::prelude::*;

pub(super) const HSETNX: Spec = Spec::new("hsetnx", 4, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let hash = ctx.db().create::<Hash>(&args[1])?;
    let absent = !hash.contains_key(&args[2]);
    if absent {
        hash.insert(keep(&args[2]), keep(&args[3]));
        ctx.db().touch(&args[1]);
    }
    Ok(Reply::flag(absent))
}
