//! SADD key member [member ...]

use super::prelude::*;

pub(super) const SADD: Spec = Spec::new("sadd", -3, WRITE | DENYOOM | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let set = ctx.db().create::<Set>(&args[1])?;
    let added = args[2..].iter().filter(|member| set.insert(member)).count();
    if added > 0 {
        ctx.db().touch(&args[1]);
    }
    Ok(Reply::count(added))
}
