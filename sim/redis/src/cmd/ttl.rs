//! TTL key, PTTL key: -2 no key, -1 no expiry.

use super::prelude::*;

pub(super) const TTL: Spec =
    Spec::new("ttl", 2, READONLY | FAST, |ctx, args| run(ctx, args, 1000)).one_key();
pub(super) const PTTL: Spec =
    Spec::new("pttl", 2, READONLY | FAST, |ctx, args| run(ctx, args, 1)).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], step: u64) -> Outcome {
    let (db, key) = (ctx.db(), &args[1]);
    if !db.exists(key) {
        return Ok(Reply::Integer(-2));
    }
    let left = db
        .expires_at(key)
        .map(|at| (at.saturating_sub(db.now()) + step / 2) / step);
    Ok(Reply::Integer(left.map_or(-1, |left| {
        i64::try_from(left).unwrap_or(i64::MAX)
    })))
}
