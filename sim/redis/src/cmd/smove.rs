//! SMOVE source destination member

use super::prelude::*;

pub(super) const SMOVE: Spec = Spec::new("smove", 4, WRITE | FAST, run).two_keys();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (from, to, member) = (&args[1], &args[2], &args[3]);
    let Some(set) = ctx.db().read::<Set>(from)? else {
        return Ok(Reply::Integer(0));
    };
    let is_in = set.contains(member);
    ctx.db().read::<Set>(to)?;
    if from == to || !is_in {
        return Ok(Reply::flag(is_in));
    }
    if let Some(set) = ctx.db().write::<Set>(from)? {
        set.remove(member);
    }
    ctx.db().tidy(from);
    if ctx.db().create::<Set>(to)?.insert(member) {
        ctx.db().touch(to);
    }
    Ok(Reply::Integer(1))
}
