//! LREM key count element: the first `count`, the last ones when it is negative, all when it is 0.

use super::prelude::*;

pub(super) const LREM: Spec = Spec::new("lrem", 4, WRITE, run).one_key();

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let wanted = integer(&args[2])?;
    let Some(list) = ctx.db().write::<List>(&args[1])? else {
        return Ok(Reply::Integer(0));
    };
    let found: Vec<usize> = list
        .iter()
        .enumerate()
        .filter(|(_, element)| *element == &args[3])
        .map(|(place, _)| place)
        .collect();
    let most = match usize::try_from(wanted.unsigned_abs()) {
        Ok(0) | Err(_) => found.len(),
        Ok(most) => most.min(found.len()),
    };
    let doomed = if wanted < 0 {
        &found[found.len() - most..]
    } else {
        &found[..most]
    };
    // From the back, so that the remaining positions stay valid.
    for place in doomed.iter().rev() {
        list.remove(*place);
    }
    if most > 0 {
        ctx.db().tidy(&args[1]);
    }
    Ok(Reply::count(most))
}
