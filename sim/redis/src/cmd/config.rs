//! CONFIG GET pattern ... | CONFIG SET name value ...

use super::prelude::*;
use crate::state::SETTINGS;

pub(super) const CONFIG: Spec = Spec::container(
    "config",
    &[
        Spec::new("config|get", -3, CONNECTION | ADMIN, get),
        Spec::new("config|set", -4, CONNECTION | ADMIN, set),
        Spec::new("config|resetstat", 2, CONNECTION | ADMIN, |_, _| {
            Ok(Reply::OK)
        }),
    ],
);

fn get(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let wanted = |name: &str| {
        args[2..]
            .iter()
            .any(|pattern| glob(&pattern.to_ascii_lowercase(), name.as_bytes()))
    };
    let known = SETTINGS
        .iter()
        .map(|(name, ..)| *name)
        .filter(|name| wanted(name));
    Ok(Reply::Map(
        known
            .flat_map(|name| [Reply::text(name), Reply::text(ctx.state.setting(name))])
            .collect(),
    ))
}

fn set(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let pairs = &args[2..];
    if !pairs.len().is_multiple_of(2) {
        return Err(wrong_arity("config|set"));
    }
    let mut changes = Vec::new();
    for pair in pairs.chunks_exact(2) {
        let name = String::from_utf8_lossy(&pair[0]).to_ascii_lowercase();
        let Some((_, _, allowed)) = SETTINGS.iter().find(|(known, ..)| *known == name) else {
            return Err(echoing(
                "ERR Unknown option or number of arguments for CONFIG SET - '",
                &pair[0],
                "'",
            ));
        };
        if !allowed.is_empty() && !allowed.iter().any(|value| is(&pair[1], value)) {
            let allowed = allowed.join(", ");
            return Err(Reply::error(format!(
                "ERR CONFIG SET failed (possibly related to argument '{name}') - argument(s) must be one of the \
                 following: {allowed}"
            )));
        }
        changes.push((name, String::from_utf8_lossy(&pair[1]).into_owned()));
    }
    ctx.state.settings.extend(changes);
    Ok(Reply::OK)
}
