//! DEL key [key ...], UNLINK key [key ...]

use super::prelude::*;

pub(super) const DEL: Spec = Spec::new("del", -2, WRITE, run).all_keys(1);
pub(super) const UNLINK: Spec = Spec::new("unlink", -2, WRITE | FAST, run).all_keys(1);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        args[1..].iter().filter(|key| ctx.db().remove(key)).count(),
    ))
}
