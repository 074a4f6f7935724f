//! LRANGE key start stop

use super::prelude::*;

pub(super) const LRANGE: Spec = Spec::new("lrange", 4, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let elements = match ctx.db().read::<List>(&args[1])? {
        None => Vec::new(),
        Some(list) => match range(start, end, list.len()) {
            None => Vec::new(),
            Some(range) => list.range(range).cloned().map(Reply::Bulk).collect(),
        },
    };
    Ok(Reply::Array(elements))
}
