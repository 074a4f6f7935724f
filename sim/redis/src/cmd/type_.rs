//! TYPE key

use super::prelude::*;

pub(super) const TYPE: Spec = Spec::new("type", 2, READONLY | FAST, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let name = ctx.db().get(&args[1]).map_or("none", Value::type_name);
    Ok(Reply::Status(Bytes::from_static(name.as_bytes())))
}
