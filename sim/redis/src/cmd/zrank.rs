//! ZRANK key member, ZREVRANK key member. O(n) in the rank.

use super::prelude::*;

pub(super) const ZRANK: Spec = Spec::new("zrank", 3, READONLY | FAST, |ctx, args| {
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    let is_it = |(member, _): (&Bytes, f64)| *member == args[2];
    let rank = sorted.and_then(|sorted| sorted.iter().position(is_it));
    Ok(rank.map_or(Reply::Nil, Reply::count))
})
.one_key();
pub(super) const ZREVRANK: Spec = Spec::new("zrevrank", 3, READONLY | FAST, |ctx, args| {
    let sorted = ctx.db().read::<Sorted>(&args[1])?;
    let is_it = |(member, _): (&Bytes, f64)| *member == args[2];
    let rank = sorted.and_then(|sorted| sorted.iter().rev().position(is_it));
    Ok(rank.map_or(Reply::Nil, Reply::count))
})
.one_key();
