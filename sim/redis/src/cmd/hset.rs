//! HSET key field value [field value ...], HMSET the same with another reply

use super::prelude::*;

pub(super) const HSET: Spec = Spec::new("hset", -4, WRITE | DENYOOM | FAST, |ctx, args| {
    Ok(Reply::count(run(ctx, args, "hset")?))
})
.one_key();
pub(super) const HMSET: Spec = Spec::new("hmset", -4, WRITE | DENYOOM | FAST, |ctx, args| {
    run(ctx, args, "hmset").map(|_| Reply::OK)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], name: &str) -> Result<usize, Reply> {
    let pairs = &args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity(name));
    }
    let hash = ctx.db().create::<Hash>(&args[1])?;
    let mut added = 0;
    for pair in pairs.chunks_exact(2) {
        match hash.get_mut(&pair[0]) {
            Some(value) => *value = keep(&pair[1]),
            None => {
                hash.insert(keep(&pair[0]), keep(&pair[1]));
                added += 1;
            }
        }
    }
    ctx.db().touch(&args[1]);
    Ok(added)
}
