//! KEYS pattern: in byte order; redis-server has no particular order.

use super::prelude::*;

pub(super) const KEYS: Spec = Spec::new("keys", 2, READONLY, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    ctx.db().expire_all();
    let keys = ctx.db().iter().filter(|(key, _)| glob(&args[1], key));
    Ok(Reply::Array(
        keys.map(|(key, _)| Reply::Bulk(key.clone())).collect(),
    ))
}
