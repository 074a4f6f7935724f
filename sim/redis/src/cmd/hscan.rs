//! HSCAN key cursor [MATCH pattern] [COUNT count]: everything in one reply.

use super::prelude::*;
use super::scan::{Options, cursor, page};

pub(super) const HSCAN: Spec = Spec::new("hscan", -3, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    cursor(&args[2])?;
    let hash = ctx.db().read::<Hash>(&args[1])?;
    // redis-server reads the options only if the key exists.
    let Some(hash) = hash else {
        return Ok(page(Vec::new()));
    };
    let options = Options::read(&args[3..], false)?;
    let pairs = hash.iter().filter(|(field, _)| options.matches(field));
    Ok(page(
        pairs
            .flat_map(|(field, value)| [field, value])
            .cloned()
            .map(Reply::Bulk)
            .collect(),
    ))
}
