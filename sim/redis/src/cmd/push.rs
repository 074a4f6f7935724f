//! LPUSH key element [element ...], RPUSH key element [element ...]

use super::prelude::*;

pub(super) const LPUSH: Spec = Spec::new("lpush", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run(ctx, args, List::push_front)
})
.one_key();
pub(super) const RPUSH: Spec = Spec::new("rpush", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run(ctx, args, List::push_back)
})
.one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], push: fn(&mut List, Bytes)) -> Outcome {
    let list = ctx.db().create::<List>(&args[1])?;
    args[2..]
        .iter()
        .for_each(|element| push(list, keep(element)));
    let length = list.len();
    ctx.db().touch(&args[1]);
    Ok(Reply::count(length))
}
