//! RENAME key newkey

use super::prelude::*;

pub(super) const RENAME: Spec = Spec {
    keys: (1, 2, 1),
    ..Spec::new("rename", 3, WRITE, run)
};

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (from, to) = (&args[1], &args[2]);
    if !ctx.db().exists(from) {
        return Err(NO_KEY);
    }
    if from != to {
        ctx.db().rename(from, to);
    }
    Ok(Reply::OK)
}
