//! HLEN key

use super::prelude::*;

pub(super) const HLEN: Spec = Spec::new("hlen", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::count(
        ctx.db().read::<Hash>(&args[1])?.map_or(0, Hash::len),
    ))
}
