//! HGETALL key, HKEYS key, HVALS key

use super::prelude::*;

pub(super) const HGETALL: Spec = Spec::new("hgetall", 2, READONLY, |ctx, args| {
    run(ctx, args, true, true)
})
.one_key();
pub(super) const HKEYS: Spec = Spec::new("hkeys", 2, READONLY, |ctx, args| {
    run(ctx, args, true, false)
})
.one_key();
pub(super) const HVALS: Spec = Spec::new("hvals", 2, READONLY, |ctx, args| {
    run(ctx, args, false, true)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], fields: bool, values: bool) -> Outcome {
    let hash = ctx.db().read::<Hash>(&args[1])?;
    let pairs = hash.into_iter().flatten();
    let items = pairs.flat_map(|(field, value)| [fields.then_some(field), values.then_some(value)]);
    let items = items.flatten().cloned().map(Reply::Bulk).collect();
    Ok(if fields && values {
        Reply::Map(items)
    } else {
        Reply::Array(items)
    })
}
