//! XLEN key

use super::prelude::*;

pub(super) const XLEN: Spec = Spec::new("xlen", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let stream = ctx.db().read::<Stream>(&args[1])?;
    Ok(Reply::count(stream.map_or(0, Stream::len)))
}
