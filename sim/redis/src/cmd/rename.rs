//! RENAME key newkey, RENAMENX key newkey

use super::prelude::*;

pub(super) const RENAME: Spec = Spec::new("rename", 3, WRITE, |ctx, args| {
    run(ctx, args, false)?;
    Ok(Reply::OK)
})
.two_keys();
pub(super) const RENAMENX: Spec = Spec::new("renamenx", 3, WRITE | FAST, |ctx, args| {
    run(ctx, args, true).map(Reply::flag)
})
.two_keys();

/// Returns whether it was renamed. With `new`, a name that is taken stays as it is.
fn run(ctx: &mut Ctx<'_>, args: &[Bytes], new: bool) -> Result<bool, Reply> {
    let (from, to) = (&args[1], &args[2]);
    if !ctx.db().exists(from) {
        return Err(NO_KEY);
    }
    if from == to || (new && ctx.db().exists(to)) {
        return Ok(false);
    }
    ctx.db().rename(from, to);
    Ok(true)
}
