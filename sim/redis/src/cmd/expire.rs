//! EXPIRE, PEXPIRE, EXPIREAT, PEXPIREAT key time [NX | XX | GT | LT]

use super::prelude::*;

pub(super) const EXPIRE: Spec = Spec::new("expire", -3, WRITE | FAST, |ctx, args| {
    run(ctx, args, Unit::After(1000))
})
.one_key();
pub(super) const PEXPIRE: Spec = Spec::new("pexpire", -3, WRITE | FAST, |ctx, args| {
    run(ctx, args, Unit::After(1))
})
.one_key();
pub(super) const EXPIREAT: Spec = Spec::new("expireat", -3, WRITE | FAST, |ctx, args| {
    run(ctx, args, Unit::At(1000))
})
.one_key();
pub(super) const PEXPIREAT: Spec = Spec::new("pexpireat", -3, WRITE | FAST, |ctx, args| {
    run(ctx, args, Unit::At(1))
})
.one_key();

/// How a time is given: milliseconds in one step, from now on or from the epoch on.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Unit {
    After(i64),
    At(i64),
}

impl Unit {
    /// The time in Unix milliseconds, possibly in the past or before the epoch;
    /// `None` if out of range.
    pub(super) fn moment(self, time: i64, now: u64) -> Option<i64> {
        match self {
            Unit::After(step) => time
                .checked_mul(step)?
                .checked_add(i64::try_from(now).ok()?),
            Unit::At(step) => time.checked_mul(step),
        }
    }
}

pub(super) fn invalid(command: &[u8]) -> Reply {
    let command = String::from_utf8_lossy(command).to_ascii_lowercase();
    Reply::error(format!("ERR invalid expire time in '{command}' command"))
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], unit: Unit) -> Outcome {
    let (mut nx, mut xx, mut gt, mut lt) = (false, false, false, false);
    for option in &args[3..] {
        match option {
            word if is(word, "nx") => nx = true,
            word if is(word, "xx") => xx = true,
            word if is(word, "gt") => gt = true,
            word if is(word, "lt") => lt = true,
            word => {
                return Err(echoing("ERR Unsupported option ", word, ""));
            }
        }
    }
    if nx && (xx || gt || lt) {
        return Err(Reply::fail(
            "ERR NX and XX, GT or LT options at the same time are not compatible",
        ));
    }
    if gt && lt {
        return Err(Reply::fail(
            "ERR GT and LT options at the same time are not compatible",
        ));
    }
    let time = integer(&args[2])?;
    let (db, key) = (ctx.db(), &args[1]);
    let moment = unit
        .moment(time, db.now())
        .ok_or_else(|| invalid(&args[0]))?;
    if !db.exists(key) {
        return Ok(Reply::Integer(0));
    }
    // No expiry counts as later than any.
    let before = db.expires_at(key).and_then(|at| i64::try_from(at).ok());
    let stays = (nx && before.is_some())
        || (xx && before.is_none())
        || (gt && before.is_none_or(|before| moment <= before))
        || (lt && before.is_some_and(|before| moment >= before));
    if stays {
        return Ok(Reply::Integer(0));
    }
    match u64::try_from(moment) {
        Ok(moment) if moment > db.now() => db.set_expiry(key, Some(moment)),
        _ => {
            db.remove(key);
        }
    }
    Ok(Reply::Integer(1))
}
