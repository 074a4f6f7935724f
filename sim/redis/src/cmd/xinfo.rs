//! XINFO STREAM key (not FULL), XINFO GROUPS key, XINFO CONSUMERS key group

use super::prelude::*;
use super::xgroup::{no_group, wrong_subcommand};
use super::xrange::entry;

const fn sub(name: &'static str, arity: i32, run: Run) -> Spec {
    Spec {
        keys: (2, 2, 1),
        ..Spec::new(name, arity, READONLY, run)
    }
}

pub(super) const XINFO: Spec = Spec::container(
    "xinfo",
    &[
        sub("xinfo|stream", -3, stream),
        sub("xinfo|groups", 3, groups),
        sub("xinfo|consumers", 4, consumers),
    ],
);

fn read<'a>(ctx: &'a mut Ctx<'_>, key: &Bytes) -> Result<&'a Stream, Reply> {
    ctx.db().read::<Stream>(key)?.ok_or(NO_KEY)
}

fn map<const N: usize>(fields: [(&str, Reply); N]) -> Reply {
    let fields = fields.into_iter();
    Reply::Map(
        fields
            .flat_map(|(name, value)| [Reply::text(name), value])
            .collect(),
    )
}

/// The nodes of the radix tree are those of a stream that is small.
fn stream(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let stream = read(ctx, &args[2])?;
    if args.len() > 3 {
        return Err(wrong_subcommand("XINFO", &args[1]));
    }
    let id = |id: StreamId| Reply::text(id.to_string());
    let entry = |one: Option<_>| one.map_or(Reply::Nil, entry);
    let blocks = stream.blocks();
    Ok(map([
        ("length", Reply::count(stream.len())),
        ("radix-tree-keys", Reply::count(blocks)),
        ("radix-tree-nodes", Reply::count(blocks + 1)),
        ("last-generated-id", id(stream.last)),
        ("max-deleted-entry-id", id(stream.deleted)),
        (
            "entries-added",
            Reply::Integer(i64::try_from(stream.added).unwrap_or(i64::MAX)),
        ),
        ("recorded-first-entry-id", id(stream.first_id())),
        ("groups", Reply::count(stream.groups.len())),
        ("first-entry", entry(stream.iter().next())),
        ("last-entry", entry(stream.iter().next_back())),
    ]))
}

fn groups(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let stream = read(ctx, &args[2])?;
    let number = |number: Option<i64>| number.map_or(Reply::Nil, Reply::Integer);
    let groups = stream.groups.iter().map(|(name, group)| {
        map([
            ("name", Reply::Bulk(name.clone())),
            ("consumers", Reply::count(group.consumers.len())),
            ("pending", Reply::count(group.pending.len())),
            ("last-delivered-id", Reply::text(group.last.to_string())),
            ("entries-read", number(group.read)),
            ("lag", number(stream.progress().lag(group))),
        ])
    });
    Ok(Reply::Array(groups.collect()))
}

fn consumers(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let now = ctx.db().now();
    let group = read(ctx, &args[2])?.groups.get(&args[3]);
    let group = group.ok_or_else(|| no_group(&args[2], &args[3]))?;
    let consumers = group.consumers.iter().map(|(name, seen)| {
        let idle = i64::try_from(now.saturating_sub(*seen)).unwrap_or(i64::MAX);
        map([
            ("name", Reply::Bulk(name.clone())),
            ("pending", Reply::count(group.pending_of(name))),
            ("idle", Reply::Integer(idle)),
        ])
    });
    Ok(Reply::Array(consumers.collect()))
}
