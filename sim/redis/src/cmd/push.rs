//! LPUSH key element [element ...], RPUSH key element [element ...], and LPUSHX and RPUSHX for lists that exist

use super::prelude::*;

pub(super) const LPUSH: Spec = Spec::new("lpush", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run(ctx, args, List::push_front)
})
.one_key();
pub(super) const RPUSH: Spec = Spec::new("rpush", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run(ctx, args, List::push_back)
})
.one_key();
pub(super) const LPUSHX: Spec = Spec::new("lpushx", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run_if_exists(ctx, args, List::push_front)
})
.one_key();
pub(super) const RPUSHX: Spec = Spec::new("rpushx", -3, WRITE | DENYOOM | FAST, |ctx, args| {
    run_if_exists(ctx, args, List::push_back)
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

fn run_if_exists(ctx: &mut Ctx<'_>, args: &[Bytes], push: fn(&mut List, Bytes)) -> Outcome {
    match ctx.db().read::<List>(&args[1])? {
        Some(_) => run(ctx, args, push),
        None => Ok(Reply::Integer(0)),
    }
}
