//! HLEN key, HSTRLEN key field

use super::prelude::*;

pub(super) const HLEN: Spec = Spec::new("hlen", 2, READONLY | FAST, |ctx, args| {
    let hash = ctx.db().read::<Hash>(&args[1])?;
    Ok(Reply::count(hash.map_or(0, Hash::len)))
})
.one_key();
pub(super) const HSTRLEN: Spec = Spec::new("hstrlen", 3, READONLY | FAST, |ctx, args| {
    let hash = ctx.db().read::<Hash>(&args[1])?;
    let value = hash.and_then(|hash| hash.get(&args[2]));
    Ok(Reply::count(value.map_or(0, Bytes::len)))
})
.one_key();
