//! EXEC

use super::prelude::*;

pub(super) const EXEC: Spec = Spec::new("exec", 1, CONNECTION | SKIP_SLOWLOG, run);

fn run(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    let broken = ctx.session.broken;
    let Some(queue) = ctx.session.end_transaction() else {
        return Err(Reply::fail("ERR EXEC without MULTI"));
    };
    let watching = std::mem::take(&mut ctx.session.watching);
    if broken {
        return Err(Reply::fail(
            "EXECABORT Transaction discarded because of previous errors.",
        ));
    }
    let has_changed = watching.iter().any(|(db, key, stamp)| {
        ctx.state.switch_to(*db);
        ctx.db().changed_since(key, *stamp)
    });
    ctx.state.switch_to(ctx.session.db);
    if has_changed {
        return Ok(Reply::NilArray);
    }
    // Permissions may have changed since the commands were queued.
    let run_one = |command: &crate::Command| match super::find(ctx.state.kind, command.words()) {
        Ok(spec) if ctx.state.modes.denies(spec.name) => Reply::fail(
            "NOPERM ACLs rules changed between the moment the transaction was accumulated and the EXEC call. \
             This command is no longer allowed for the following reason: no permission to execute the command or \
             subcommand",
        ),
        Ok(spec) => super::run(spec, ctx, command.words()),
        Err(refusal) => refusal,
    };
    let replies = queue.iter().map(run_one).collect();
    // In a transaction nothing waits.
    ctx.session.waiting = None;
    ctx.session.blocked = false;
    ctx.state.unblock(ctx.session.id);
    Ok(Reply::Array(replies))
}
