//! HSCAN key cursor [MATCH pattern] [COUNT count]: all in one answer.

use super::prelude::*;
use super::scan::{Options, answer, cursor};

pub(super) const HSCAN: Spec = Spec::new("hscan", -3, READONLY, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    cursor(&args[2])?;
    let hash = ctx.db().read::<Hash>(&args[1])?;
    // Redis looks at the options only when there is something to scan.
    let Some(hash) = hash else {
        return Ok(answer(Vec::new()));
    };
    let options = Options::read(&args[3..], false)?;
    let pairs = hash.iter().filter(|(field, _)| options.matches(field));
    Ok(answer(
        pairs
            .flat_map(|(field, value)| [field, value])
            .cloned()
            .map(Reply::Bulk)
            .collect(),
    ))
}
