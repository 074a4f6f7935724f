//! XDEL key id [id ...]

use super::ids;
use super::prelude::*;

pub(super) const XDEL: Spec = Spec::new("xdel", -3, WRITE | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let Some(stream) = ctx.db().write::<Stream>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let doomed = args[2..].iter().map(|word| ids::id(word));
    let doomed: Vec<StreamId> = doomed.collect::<Result<_, _>>()?;
    let deleted = doomed.iter().filter(|id| stream.delete(**id)).count();
    if deleted > 0 {
        ctx.db().touch(&args[1]);
    }
    Ok(Reply::count(deleted))
}
