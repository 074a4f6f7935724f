//! TIME: seconds and microseconds since the Unix epoch.

use super::prelude::*;

pub(super) const TIME: Spec = Spec::new("time", 1, LOADING | STALE | FAST, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    let micros = ctx.state.micros;
    let parts = [micros / 1_000_000, micros % 1_000_000];
    Ok(Reply::Array(
        parts
            .iter()
            .map(|part| Reply::text(part.to_string()))
            .collect(),
    ))
}
