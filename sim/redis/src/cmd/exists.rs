//! EXISTS key [key ...], TOUCH key [key ...]: a key named twice counts twice.

use super::prelude::*;

pub(super) const EXISTS: Spec = Spec::new("exists", -2, READONLY | FAST, run).all_keys(1);
pub(super) const TOUCH: Spec = Spec::new("touch", -2, READONLY | FAST, run).all_keys(1);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        args[1..].iter().filter(|key| ctx.db().exists(key)).count(),
    ))
}
