//! DBSIZE

use super::prelude::*;

pub(super) const DBSIZE: Spec = Spec::new("dbsize", 1, READONLY | FAST, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    ctx.db().expire_all();
    Ok(Reply::count(ctx.db().len()))
}
