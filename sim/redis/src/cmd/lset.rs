//! LSET key index element

use super::prelude::*;

pub(super) const LSET: Spec = Spec::new("lset", 4, WRITE | DENYOOM, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let list = ctx.db().write::<List>(&args[1])?.ok_or(NO_KEY)?;
    let place = super::lindex::place(integer(&args[2])?, list.len());
    let element = place
        .and_then(|place| list.get_mut(place))
        .ok_or(Reply::fail("ERR index out of range"))?;
    *element = keep(&args[3]);
    ctx.db().touch(&args[1]);
    Ok(Reply::OK)
}
