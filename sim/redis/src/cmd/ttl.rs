//! TTL key, PTTL key, EXPIRETIME key, PEXPIRETIME key: -2 no key, -1 no expiry.

use super::prelude::*;

pub(super) const TTL: Spec = Spec::new("ttl", 2, READONLY | FAST, |ctx, args| {
    run(ctx, args, 1000, false)
})
.one_key();
pub(super) const PTTL: Spec = Spec::new("pttl", 2, READONLY | FAST, |ctx, args| {
    run(ctx, args, 1, false)
})
.one_key();

pub(super) const EXPIRETIME: Spec = Spec::new("expiretime", 2, READONLY | FAST, |ctx, args| {
    run(ctx, args, 1000, true)
})
.one_key();
pub(super) const PEXPIRETIME: Spec = Spec::new("pexpiretime", 2, READONLY | FAST, |ctx, args| {
    run(ctx, args, 1, true)
})
.one_key();

/// In steps of so many milliseconds, from now on or since the epoch.
fn run(ctx: &mut Ctx<'_>, args: &[Bytes], step: u64, since_epoch: bool) -> Outcome {
    let (db, key) = (ctx.db(), &args[1]);
    if !db.exists(key) {
        return Ok(Reply::Integer(-2));
    }
    let start = if since_epoch { 0 } else { db.now() };
    let left = db
        .expires_at(key)
        .map(|at| (at.saturating_sub(start) + step / 2) / step);
    Ok(Reply::Integer(left.map_or(-1, |left| {
        i64::try_from(left).unwrap_or(i64::MAX)
    })))
}
