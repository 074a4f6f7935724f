//! LTRIM key start stop

use super::prelude::*;

pub(super) const LTRIM: Spec = Spec::new("ltrim", 4, WRITE, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let Some(list) = ctx.db().write::<List>(&args[1])? else {
        return Ok(Reply::OK);
    };
    match range(start, end, list.len()) {
        None => list.clear(),
        Some(range) => {
            list.truncate(range.end() + 1);
            list.drain(..*range.start());
        }
    }
    ctx.db().tidy(&args[1]);
    Ok(Reply::OK)
}
