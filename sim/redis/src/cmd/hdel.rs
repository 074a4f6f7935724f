//! HDEL key field [field ...]

use super::prelude::*;

pub(super) const HDEL: Spec = Spec::new("hdel", -3, WRITE | FAST, run).one_key();

/// Up to this size redis-server keeps the fields in order; above it, they have no order, and removing may be O(1).
const ORDERED: usize = 128;

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let Some(hash) = ctx.db().write::<Hash>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let mut removed = 0;
    for field in &args[2..] {
        let value = if hash.len() > ORDERED {
            hash.swap_remove(field)
        } else {
            hash.shift_remove(field)
        };
        removed += usize::from(value.is_some());
    }
    if removed > 0 {
        ctx.db().tidy(&args[1]);
    }
    Ok(Reply::count(removed))
}
