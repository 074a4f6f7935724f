//! HINCRBY key field amount

use super::prelude::*;

pub(super) const HINCRBY: Spec = Spec::new("hincrby", 4, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let amount = integer(&args[3])?;
    let before = match ctx
        .db()
        .read::<Hash>(&args[1])?
        .and_then(|hash| hash.get(&args[2]))
    {
        None => 0,
        Some(text) => integer(text).map_err(|_| Reply::fail("ERR hash value is not an integer"))?,
    };
    let after = before
        .checked_add(amount)
        .ok_or(Reply::fail("ERR increment or decrement would overflow"))?;
    let hash = ctx.db().create::<Hash>(&args[1])?;
    let text = Bytes::from(after.to_string());
    match hash.get_mut(&args[2]) {
        Some(value) => *value = text,
        None => {
            hash.insert(keep(&args[2]), text);
        }
    }
    ctx.db().touch(&args[1]);
    Ok(Reply::Integer(after))
}
