//! LINSERT key BEFORE | AFTER pivot element: -1 without such a pivot.

use super::prelude::*;

pub(super) const LINSERT: Spec = Spec::new("linsert", 5, WRITE | DENYOOM, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let after = match &args[2] {
        word if is(word, "before") => 0,
        word if is(word, "after") => 1,
        _ => return Err(SYNTAX),
    };
    let Some(list) = ctx.db().write::<List>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let Some(pivot) = list.iter().position(|element| *element == args[3]) else {
        return Ok(Reply::Integer(-1));
    };
    list.insert(pivot + after, keep(&args[4]));
    let length = list.len();
    ctx.db().touch(&args[1]);
    Ok(Reply::count(length))
}
