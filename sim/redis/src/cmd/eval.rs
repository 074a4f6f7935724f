//! EVAL script numkeys [key ...] [arg ...], EVALSHA sha1 ..., and both with _RO, where a write is an error

use super::prelude::*;
use crate::script;

const FLAGS: u32 = NOSCRIPT | STALE | SKIP_MONITOR | NO_MANDATORY_KEYS | MOVABLEKEYS;

pub(super) const EVAL: Spec = Spec::new("eval", -3, FLAGS, |ctx, args| eval(ctx, args, false));
pub(super) const EVAL_RO: Spec = Spec::new("eval_ro", -3, FLAGS | READONLY, |ctx, args| {
    eval(ctx, args, true)
});
pub(super) const EVALSHA: Spec =
    Spec::new("evalsha", -3, FLAGS, |ctx, args| evalsha(ctx, args, false));
pub(super) const EVALSHA_RO: Spec = Spec::new("evalsha_ro", -3, FLAGS | READONLY, |ctx, args| {
    evalsha(ctx, args, true)
});

fn eval(ctx: &mut Ctx<'_>, args: &[Bytes], read_only: bool) -> Outcome {
    let (keys, arguments) = split(args)?;
    let sha = script::load(ctx.state, &args[1])?;
    script::run(ctx, sha, keys, arguments, read_only)
}

fn evalsha(ctx: &mut Ctx<'_>, args: &[Bytes], read_only: bool) -> Outcome {
    // As in redis-server: the length of the name is checked before the number
    // of keys, the name after it.
    let sha = script::Sha::parse(&args[1]).ok_or(script::NOSCRIPT)?;
    let (keys, arguments) = split(args)?;
    script::run(ctx, sha, keys, arguments, read_only)
}

/// KEYS and ARGV.
fn split(args: &[Bytes]) -> Result<(&[Bytes], &[Bytes]), Reply> {
    let wanted = integer(&args[2])?;
    let rest = &args[3..];
    match usize::try_from(wanted) {
        Err(_) => Err(Reply::fail("ERR Number of keys can't be negative")),
        Ok(wanted) => rest.split_at_checked(wanted).ok_or(Reply::fail(
            "ERR Number of keys can't be greater than number of args",
        )),
    }
}
