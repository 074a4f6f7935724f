//! ZREMRANGEBYRANK key start stop, ZREMRANGEBYSCORE key min max, ZREMRANGEBYLEX key min max

use super::prelude::*;
use super::span::{By, Span};

pub(super) const ZREMRANGEBYRANK: Spec = Spec::new("zremrangebyrank", 4, WRITE, |ctx, args| {
    run(ctx, args, By::Rank)
})
.one_key();
pub(super) const ZREMRANGEBYSCORE: Spec = Spec::new("zremrangebyscore", 4, WRITE, |ctx, args| {
    run(ctx, args, By::Score)
})
.one_key();
pub(super) const ZREMRANGEBYLEX: Spec = Spec::new("zremrangebylex", 4, WRITE, |ctx, args| {
    run(ctx, args, By::Name)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], by: By) -> Outcome {
    let span = Span::parse(by, &args[2], &args[3])?;
    let Some(sorted) = ctx.db().write::<Sorted>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let members = span.of(sorted, false).map(|(member, _)| member.clone());
    let doomed: Vec<Bytes> = members.collect();
    for member in &doomed {
        sorted.remove(member);
    }
    if !doomed.is_empty() {
        ctx.db().tidy(&args[1]);
    }
    Ok(Reply::count(doomed.len()))
}
