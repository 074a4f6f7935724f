//! HEXISTS key field

use super::prelude::*;

pub(super) const HEXISTS: Spec = Spec::new("hexists", 3, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::flag(
        ctx.db()
            .read::<Hash>(&args[1])?
            .is_some_and(|hash| hash.contains_key(&args[2])),
    ))
}
