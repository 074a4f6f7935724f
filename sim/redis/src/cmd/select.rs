//! SELECT index

use super::prelude::*;
use crate::state::DATABASES;

pub(super) const SELECT: Spec = Spec::new("select", 2, LOADING | STALE | FAST, run);

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let db = integer(&args[1])?;
    if !(0..DATABASES).contains(&db) {
        return Err(Reply::fail("ERR DB index is out of range"));
    }
    ctx.session.db = db;
    ctx.state.switch_to(db);
    Ok(Reply::OK)
}
