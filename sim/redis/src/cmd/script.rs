//! SCRIPT LOAD script | EXISTS sha1 ... | FLUSH [ASYNC | SYNC]

use super::prelude::*;
use crate::script::{self, Sha};

pub(super) const SCRIPT: Spec = Spec::container(
    "script",
    &[
        Spec::new("script|load", 3, NOSCRIPT | STALE, load),
        Spec::new("script|exists", -3, NOSCRIPT, exists),
        Spec::new("script|flush", -2, NOSCRIPT, flush),
        Spec::new("script|kill", 2, NOSCRIPT | ALLOW_BUSY, kill),
    ],
);

fn load(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::text(script::load(ctx.state, &args[2])?.as_str()))
}

fn exists(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let known = |word: &Bytes| Sha::parse(word).is_some_and(|sha| ctx.state.scripts.contains(&sha));
    Ok(Reply::Array(
        args[2..]
            .iter()
            .map(|word| Reply::flag(known(word)))
            .collect(),
    ))
}

fn flush(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    match &args[2..] {
        [] => {}
        [option] if is(option, "async") || is(option, "sync") => {}
        _ => {
            return Err(Reply::fail(
                "ERR SCRIPT FLUSH only support SYNC|ASYNC option",
            ));
        }
    }
    ctx.state.scripts.clear();
    Ok(Reply::OK)
}

/// Ends the mode `busy`: the script is assumed not to have written.
fn kill(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    if std::mem::take(&mut ctx.state.modes.busy) {
        return Ok(Reply::OK);
    }
    Err(Reply::fail("NOTBUSY No scripts in execution right now."))
}
