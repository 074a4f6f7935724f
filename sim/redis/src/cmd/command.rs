//! COMMAND [COUNT | INFO [name ...] | DOCS [name ...]]

use super::prelude::*;
use super::{lookup, table};

pub(super) const COMMAND: Spec = Spec {
    arity: -1,
    flags: LOADING | STALE,
    run: all,
    ..Spec::container(
        "command",
        &[
            Spec::new("command|count", 2, LOADING | STALE, count_all),
            Spec::new("command|info", -2, LOADING | STALE, info),
            Spec::new("command|docs", -2, LOADING | STALE, docs),
        ],
    )
};

fn all(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::Array(table(ctx.state.kind).map(describe).collect()))
}

fn count_all(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::count(table(ctx.state.kind).count()))
}

fn info(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if args.len() == 2 {
        return all(ctx, args);
    }
    Ok(Reply::Array(
        args[2..]
            .iter()
            .map(|name| lookup(ctx.state.kind, name).map_or(Reply::Nil, describe))
            .collect(),
    ))
}

/// Only a summary of each command.
fn docs(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let known: Vec<&Spec> = match &args[2..] {
        [] => table(ctx.state.kind).collect(),
        names => names
            .iter()
            .filter_map(|name| lookup(ctx.state.kind, name))
            .collect(),
    };
    let entry = |spec: &&Spec| {
        let summary = format!("Simulated {}", spec.name.to_ascii_uppercase());
        [
            Reply::text(spec.name),
            Reply::Map(vec![Reply::text("summary"), Reply::text(summary)]),
        ]
    };
    Ok(Reply::Map(known.iter().flat_map(entry).collect()))
}

fn describe(spec: &Spec) -> Reply {
    let flags = FLAGS.iter().filter(|(flag, _)| spec.has(*flag));
    let (first, last, step) = spec.keys;
    Reply::Array(vec![
        Reply::text(spec.name),
        Reply::Integer(spec.arity.into()),
        Reply::Set(
            flags
                .map(|(_, name)| Reply::Status(Bytes::from_static(name.as_bytes())))
                .collect(),
        ),
        Reply::Integer(first.into()),
        Reply::Integer(last.into()),
        Reply::Integer(step.into()),
        // ACL categories, tips and key specifications are not simulated.
        Reply::Set(Vec::new()),
        Reply::Set(Vec::new()),
        Reply::Set(Vec::new()),
        // redis-server answers an empty set, but an array when there are subcommands.
        if spec.subs.is_empty() {
            Reply::Set(Vec::new())
        } else {
            Reply::Array(spec.subs.iter().map(describe).collect())
        },
    ])
}
