//! SISMEMBER key member, SMISMEMBER key member [member ...]

use super::prelude::*;

pub(super) const SISMEMBER: Spec = Spec::new("sismember", 3, READONLY | FAST, |ctx, args| {
    let set = ctx.db().read::<Set>(&args[1])?;
    Ok(Reply::flag(set.is_some_and(|set| set.contains(&args[2]))))
})
.one_key();
pub(super) const SMISMEMBER: Spec = Spec::new("smismember", -3, READONLY | FAST, |ctx, args| {
    let set = ctx.db().read::<Set>(&args[1])?;
    let found = |member: &Bytes| Reply::flag(set.is_some_and(|set| set.contains(member)));
    Ok(Reply::Array(args[2..].iter().map(found).collect()))
})
.one_key();
