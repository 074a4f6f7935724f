//! SREM key member [member ...]

use super::prelude::*;

pub(super) const SREM: Spec = Spec::new("srem", -3, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let Some(set) = ctx.db().write::<Set>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let removed = args[2..].iter().filter(|member| set.remove(member)).count();
    if removed > 0 {
        ctx.db().tidy(&args[1]);
    }
    Ok(Reply::count(removed))
}
