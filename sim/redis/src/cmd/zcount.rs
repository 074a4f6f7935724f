//! ZCOUNT key min max, ZLEXCOUNT key min max; `(` in front of a bound excludes it.

use super::prelude::*;
use super::span::{By, Span};

pub(super) const ZCOUNT: Spec = Spec::new("zcount", 4, READONLY | FAST, |ctx, args| {
    run(ctx, args, By::Score)
})
.one_key();
pub(super) const ZLEXCOUNT: Spec = Spec::new("zlexcount", 4, READONLY | FAST, |ctx, args| {
    run(ctx, args, By::Name)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], by: By) -> Outcome {
    let span = Span::parse(by, &args[2], &args[3])?;
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    Ok(Reply::count(
        sorted.map_or(0, |sorted| span.of(sorted, false).count()),
    ))
}
