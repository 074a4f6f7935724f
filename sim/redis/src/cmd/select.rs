//! SELECT index: there is one database, 0.

use super::prelude::*;

pub(super) const SELECT: Spec = Spec::new("select", 2, LOADING | STALE | FAST, run);

fn run(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    match integer(&args[1])? {
        0 => Ok(Reply::OK),
        _ => Err(Reply::fail("ERR DB index is out of range")),
    }
}
