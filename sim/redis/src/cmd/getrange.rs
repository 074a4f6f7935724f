//! GETRANGE key start end, which SUBSTR is the old name of

use super::prelude::*;

pub(super) const GETRANGE: Spec = Spec::new("getrange", 4, READONLY, run).one_key();
pub(super) const SUBSTR: Spec = Spec::new("substr", 4, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let (start, end) = (integer(&args[2])?, integer(&args[3])?);
    let Some(text) = ctx.db().read::<Bytes>(&args[1])? else {
        return Ok(Reply::text(""));
    };
    // An end before the first byte is the first byte.
    let length = i64::try_from(text.len()).unwrap_or(i64::MAX);
    let end = match start < 0 && end < start {
        true => return Ok(Reply::text("")),
        false if end < 0 => end.saturating_add(length).max(0),
        false => end,
    };
    let part = range(start, end, text.len()).map_or(Bytes::new(), |part| text.slice(part));
    Ok(Reply::Bulk(part))
}
