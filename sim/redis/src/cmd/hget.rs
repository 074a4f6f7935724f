//! HGET key field

use super::prelude::*;

pub(super) const HGET: Spec = Spec::new("hget", 3, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::optional(
        ctx.db()
            .read::<Hash>(&args[1])?
            .and_then(|hash| hash.get(&args[2])),
    ))
}
