//! ECHO message

use super::prelude::*;

pub(super) const ECHO: Spec = Spec::new("echo", 2, LOADING | STALE | FAST, run);

fn run(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    Ok(Reply::Bulk(args[1].clone()))
}
