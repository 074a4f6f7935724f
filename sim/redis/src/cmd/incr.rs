//! INCR, DECR key; INCRBY, DECRBY key amount

use super::prelude::*;

const FLAGS: u32 = WRITE | DENYOOM | FAST;

pub(super) const INCR: Spec =
    Spec::new("incr", 2, FLAGS, |ctx, args| add(ctx, &args[1], 1)).one_key();
pub(super) const DECR: Spec =
    Spec::new("decr", 2, FLAGS, |ctx, args| add(ctx, &args[1], -1)).one_key();
pub(super) const INCRBY: Spec = Spec::new("incrby", 3, FLAGS, |ctx, args| {
    add(ctx, &args[1], integer(&args[2])?)
})
.one_key();
pub(super) const DECRBY: Spec = Spec::new("decrby", 3, FLAGS, decrease).one_key();

fn decrease(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    match integer(&args[2])?.checked_neg() {
        Some(amount) => add(ctx, &args[1], amount),
        None => Err(Reply::fail("ERR decrement would overflow")),
    }
}

fn add(ctx: &mut Ctx<'_>, key: &Bytes, amount: i64) -> Outcome {
    let before = ctx
        .db()
        .read::<Bytes>(key)?
        .map_or(Ok(0), |text| integer(text))?;
    let after = before.checked_add(amount).ok_or(OVERFLOW)?;
    let expires_at = ctx.db().expires_at(key);
    ctx.db()
        .set(key, Value::Text(Bytes::from(after.to_string())), expires_at);
    Ok(Reply::Integer(after))
}

const OVERFLOW: Reply = Reply::fail("ERR increment or decrement would overflow");
