//! SETEX key seconds value, PSETEX key milliseconds value

use super::expire::{Unit, invalid};
use super::prelude::*;

pub(super) const SETEX: Spec = Spec::new("setex", 4, WRITE | DENYOOM, |ctx, args| {
    run(ctx, args, Unit::After(1000))
})
.one_key();
pub(super) const PSETEX: Spec = Spec::new("psetex", 4, WRITE | DENYOOM, |ctx, args| {
    run(ctx, args, Unit::After(1))
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], unit: Unit) -> Outcome {
    let time = integer(&args[2])?;
    let moment = unit.moment(time, ctx.db().now());
    let expires_at = moment
        .and_then(|moment| u64::try_from(moment).ok())
        .filter(|_| time > 0)
        .ok_or_else(|| invalid(&args[0]))?;
    let value = Value::Text(keep(&args[3]));
    ctx.db().set(&args[1], value, Some(expires_at));
    Ok(Reply::OK)
}
