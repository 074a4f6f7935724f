//! ACL WHOAMI | ACL DRYRUN user command ...

use super::prelude::*;

pub(super) const ACL: Spec = Spec::container(
    "acl",
    &[
        Spec::new("acl|whoami", 2, CONNECTION, whoami),
        Spec::new("acl|dryrun", -4, CONNECTION | ADMIN, dry_run),
    ],
);

fn whoami(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::text(&ctx.session.user))
}

fn dry_run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let user = String::from_utf8_lossy(&args[2]);
    if !ctx.state.modes.knows(&user) {
        return Err(echoing("ERR User '", &args[2], "' not found"));
    }
    let words = &args[3..];
    if super::lookup(ctx.state.kind, &words[0]).is_none() {
        return Err(echoing("ERR Command '", &words[0], "' not found"));
    }
    let spec = super::find(ctx.state.kind, words)?;
    if ctx.state.modes.denies(spec.name) {
        return Ok(Reply::text(format!(
            "This user has no permissions to run the '{}' command",
            spec.name
        )));
    }
    Ok(Reply::OK)
}
