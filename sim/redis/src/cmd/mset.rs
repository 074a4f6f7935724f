//! MSET key value [key value ...]

use super::prelude::*;

pub(super) const MSET: Spec = Spec::new("mset", -3, WRITE | DENYOOM, run).all_keys(2);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if args.len().is_multiple_of(2) {
        return Err(wrong_arity("mset"));
    }
    for pair in args[1..].chunks_exact(2) {
        ctx.db().set(&pair[0], Value::Text(keep(&pair[1])), None);
    }
    Ok(Reply::OK)
}
