//! LMOVE source destination LEFT | RIGHT LEFT | RIGHT, RPOPLPUSH source destination

use super::prelude::*;

pub(super) const LMOVE: Spec = Spec::new("lmove", 5, WRITE | DENYOOM, |ctx, args| {
    let (from, to) = (End::read(&args[3])?, End::read(&args[4])?);
    run(ctx, (&args[1], from), (&args[2], to))
})
.two_keys();
pub(super) const RPOPLPUSH: Spec = Spec::new("rpoplpush", 3, WRITE | DENYOOM, |ctx, args| {
    run(ctx, (&args[1], End::Right), (&args[2], End::Left))
})
.two_keys();

/// An end of a list.
#[derive(Clone, Copy)]
pub(super) enum End {
    Left,
    Right,
}

impl End {
    pub(super) fn read(word: &[u8]) -> Result<End, Reply> {
        match word {
            word if is(word, "left") => Ok(End::Left),
            word if is(word, "right") => Ok(End::Right),
            _ => Err(SYNTAX),
        }
    }
}

fn run(ctx: &mut Ctx<'_>, from: (&Bytes, End), to: (&Bytes, End)) -> Outcome {
    Ok(move_one(ctx, from, to)?.map_or(Reply::Nil, Reply::Bulk))
}

/// Moves an element from one list to another, or within one; `None` if there is none.
pub(super) fn move_one(
    ctx: &mut Ctx<'_>,
    (from, from_end): (&Bytes, End),
    (to, to_end): (&Bytes, End),
) -> Result<Option<Bytes>, Reply> {
    if ctx.db().read::<List>(from)?.is_none() {
        return Ok(None);
    }
    ctx.db().read::<List>(to)?;
    let taken = ctx
        .db()
        .write::<List>(from)?
        .and_then(|list| match from_end {
            End::Left => list.pop_front(),
            End::Right => list.pop_back(),
        });
    let Some(element) = taken else {
        return Ok(None);
    };
    let list = ctx.db().create::<List>(to)?;
    match to_end {
        End::Left => list.push_front(element.clone()),
        End::Right => list.push_back(element.clone()),
    }
    ctx.db().touch(to);
    ctx.db().tidy(from);
    Ok(Some(element))
}
