//! LINDEX key index

use super::prelude::*;

pub(super) const LINDEX: Spec = Spec::new("lindex", 3, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let Some(list) = ctx.db().read::<List>(&args[1])? else {
        return Ok(Reply::Nil);
    };
    let place = place(integer(&args[2])?, list.len());
    Ok(Reply::optional(place.and_then(|place| list.get(place))))
}

/// The position of an index that counts from the end when negative.
pub(super) fn place(index: i64, length: usize) -> Option<usize> {
    let distance = usize::try_from(index.unsigned_abs()).ok()?;
    let place = if index < 0 {
        length.checked_sub(distance)?
    } else {
        distance
    };
    (place < length).then_some(place)
}
