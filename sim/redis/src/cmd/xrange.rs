//! XRANGE key start end [COUNT count], XREVRANGE key end start [COUNT count]

use super::ids;
use super::prelude::*;

pub(super) const XRANGE: Spec = Spec::new("xrange", -4, READONLY, |ctx, args| {
    run(ctx, args, (&args[2], &args[3]), false)
})
.one_key();
pub(super) const XREVRANGE: Spec = Spec::new("xrevrange", -4, READONLY, |ctx, args| {
    run(ctx, args, (&args[3], &args[2]), true)
})
.one_key();

fn run(
    ctx: &mut Ctx<'_>,
    args: &[Bytes],
    (start, end): (&Bytes, &Bytes),
    reverse: bool,
) -> Outcome {
    let (start, end) = (ids::start(start)?, ids::end(end)?);
    let (mut most, mut words) = (usize::MAX, &args[4..]);
    while let [option, count, rest @ ..] = words {
        if !is(option, "count") {
            return Err(SYNTAX);
        }
        most = usize::try_from(integer(count)?).unwrap_or(0);
        words = rest;
    }
    if !words.is_empty() {
        return Err(SYNTAX);
    }
    let Some(stream) = ctx.db().read::<Stream>(&args[1])? else {
        return Ok(Reply::Array(Vec::new()));
    };
    if most == 0 {
        return Ok(Reply::NilArray);
    }
    let range = stream.range(start, end);
    let entries = match reverse {
        true => range.rev().take(most).map(entry).collect(),
        false => range.take(most).map(entry).collect(),
    };
    Ok(Reply::Array(entries))
}

/// An id, and names and values.
pub(super) fn entry((id, fields): (StreamId, &[Bytes])) -> Reply {
    let fields = fields.iter().cloned().map(Reply::Bulk).collect();
    Reply::Array(vec![Reply::text(id.to_string()), Reply::Array(fields)])
}
