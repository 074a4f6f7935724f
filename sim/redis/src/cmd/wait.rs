//! WAIT numreplicas timeout: the number of replicas that have all writes; there are none.

use super::prelude::*;

pub(super) const WAIT: Spec = Spec::new("wait", 3, NOSCRIPT, run);

fn run(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    integer(&args[1])?;
    match crate::number::integer(&args[2]) {
        None => Err(Reply::fail("ERR timeout is not an integer or out of range")),
        Some(timeout) if timeout < 0 => Err(Reply::fail("ERR timeout is negative")),
        Some(_) => Ok(Reply::Integer(0)),
    }
}
