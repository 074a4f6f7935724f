//! BLPOP key [key ...] timeout, BRPOP, BZPOPMIN, BZPOPMAX, BLMOVE source destination LEFT | RIGHT LEFT | RIGHT timeout,
//! BRPOPLPUSH source destination timeout
//!
//! Without an element the connection waits: see [`crate::blocked`].

use super::lmove::{End, move_one};
use super::prelude::*;
use super::zpop;
use crate::blocked::{Blocked, Take};
use crate::number;
use crate::value::Score;

const FLAGS: u32 = WRITE | NOSCRIPT | BLOCKING;

pub(super) const BLPOP: Spec = Spec::new("blpop", -3, FLAGS, |ctx, args| {
    block(ctx, args, args.len() - 1, left, Reply::NilArray)
})
.keys_before_last();
pub(super) const BRPOP: Spec = Spec::new("brpop", -3, FLAGS, |ctx, args| {
    block(ctx, args, args.len() - 1, right, Reply::NilArray)
})
.keys_before_last();
pub(super) const BZPOPMIN: Spec = Spec::new("bzpopmin", -3, FLAGS | FAST, |ctx, args| {
    block(ctx, args, args.len() - 1, least, Reply::NilArray)
})
.keys_before_last();
pub(super) const BZPOPMAX: Spec = Spec::new("bzpopmax", -3, FLAGS | FAST, |ctx, args| {
    block(ctx, args, args.len() - 1, greatest, Reply::NilArray)
})
.keys_before_last();
pub(super) const BLMOVE: Spec = Spec::new("blmove", 6, FLAGS | DENYOOM, |ctx, args| {
    End::read(&args[3])?;
    End::read(&args[4])?;
    block(ctx, args, 5, move_between, Reply::Nil)
})
.two_keys();
pub(super) const BRPOPLPUSH: Spec = Spec::new("brpoplpush", 4, FLAGS | DENYOOM, |ctx, args| {
    block(ctx, args, 3, move_to_left, Reply::Nil)
})
.two_keys();

/// Takes an element, or waits for one; `none` is the reply where nothing waits.
fn block(ctx: &mut Ctx<'_>, args: &[Bytes], timeout: usize, take: Take, none: Reply) -> Outcome {
    let until = until(ctx, &args[timeout])?;
    if let Some(reply) = take(ctx, args)? {
        return Ok(reply);
    }
    wait(ctx, args, take, until);
    Ok(none)
}

/// From now on the connection waits.
pub(super) fn wait(ctx: &mut Ctx<'_>, words: &[Bytes], take: Take, until: Option<u64>) {
    let blocked = Blocked {
        id: ctx.session.id,
        db: ctx.session.db,
        protocol: ctx.session.protocol(),
        words: words.iter().map(keep).collect(),
        take,
        until,
    };
    ctx.state.blocked.push(blocked);
    ctx.session.blocked = true;
}

fn until(ctx: &Ctx<'_>, timeout: &Bytes) -> Result<Option<u64>, Reply> {
    const WRONG: Reply = Reply::fail("ERR timeout is not a float or out of range");
    let seconds = number::float(timeout).ok_or(WRONG)?;
    if seconds < 0.0 {
        return Err(Reply::fail("ERR timeout is negative"));
    }
    let after = std::time::Duration::try_from_secs_f64(seconds).map_err(|_| WRONG)?;
    let micros = u64::try_from(after.as_micros()).map_err(|_| WRONG)?;
    Ok((micros > 0).then(|| ctx.state.micros.saturating_add(micros)))
}

fn left(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    pop(ctx, args, List::pop_front)
}

fn right(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    pop(ctx, args, List::pop_back)
}

fn pop(
    ctx: &mut Ctx<'_>,
    args: &[Bytes],
    pop: fn(&mut List) -> Option<Bytes>,
) -> Result<Option<Reply>, Reply> {
    for key in &args[1..args.len() - 1] {
        let Some(element) = ctx.db().write::<List>(key)?.and_then(pop) else {
            continue;
        };
        ctx.db().tidy(key);
        return Ok(Some(Reply::Array(vec![
            Reply::text(key),
            Reply::Bulk(element),
        ])));
    }
    Ok(None)
}

fn least(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    pop_scored(ctx, args, false)
}

fn greatest(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    pop_scored(ctx, args, true)
}

fn pop_scored(ctx: &mut Ctx<'_>, args: &[Bytes], greatest: bool) -> Result<Option<Reply>, Reply> {
    for key in &args[1..args.len() - 1] {
        if let Some((member, score)) = zpop::take(ctx, key, 1, greatest)?.pop() {
            let parts = vec![
                Reply::text(key),
                Reply::Bulk(member),
                Reply::Double(Score(score)),
            ];
            return Ok(Some(Reply::Array(parts)));
        }
    }
    Ok(None)
}

fn move_between(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    let (from, to) = (End::read(&args[3])?, End::read(&args[4])?);
    Ok(move_one(ctx, (&args[1], from), (&args[2], to))?.map(Reply::Bulk))
}

fn move_to_left(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Result<Option<Reply>, Reply> {
    Ok(move_one(ctx, (&args[1], End::Right), (&args[2], End::Left))?.map(Reply::Bulk))
}
