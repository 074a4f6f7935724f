//! SMEMBERS key

use super::prelude::*;

pub(super) const SMEMBERS: Spec = Spec::new("smembers", 2, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let set = ctx.db().read::<Set>(&args[1])?;
    let members = set.into_iter().flat_map(Set::iter).map(Reply::Bulk);
    Ok(Reply::Set(members.collect()))
}
