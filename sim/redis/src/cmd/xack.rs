//! XACK key group id [id ...]

use super::ids;
use super::prelude::*;

pub(super) const XACK: Spec = Spec::new("xack", -4, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let stream = ctx.db().write::<Stream>(&args[1])?;
    let Some(group) = stream.and_then(|stream| stream.groups.get_mut(&args[2])) else {
        return Ok(Reply::Integer(0));
    };
    let done = args[3..].iter().map(|word| ids::id(word));
    let done: Vec<StreamId> = done.collect::<Result<_, _>>()?;
    let mut is_pending = |id: &&StreamId| group.pending.remove(id).is_some();
    let acknowledged = done.iter().filter(|id| is_pending(id)).count();
    if acknowledged > 0 {
        ctx.db().wrote();
    }
    Ok(Reply::count(acknowledged))
}
