//! XGROUP CREATE key group id | $ [MKSTREAM] [ENTRIESREAD count], SETID key group id | $ [ENTRIESREAD count],
//! DESTROY key group, CREATECONSUMER key group consumer, DELCONSUMER key group consumer

use super::ids;
use super::prelude::*;
use crate::stream::Group;

const fn sub(name: &'static str, arity: i32, flags: u32, run: Run) -> Spec {
    Spec {
        keys: (2, 2, 1),
        ..Spec::new(name, arity, flags, run)
    }
}

pub(super) const XGROUP: Spec = Spec::container(
    "xgroup",
    &[
        sub("xgroup|create", -5, WRITE | DENYOOM, create),
        sub("xgroup|setid", -5, WRITE, set_id),
        sub("xgroup|destroy", 4, WRITE, destroy),
        sub("xgroup|createconsumer", 5, WRITE | DENYOOM, create_consumer),
        sub("xgroup|delconsumer", 5, WRITE, delete_consumer),
    ],
);

#[derive(Default)]
struct Options {
    makes_stream: bool,
    read: Option<i64>,
}

impl Options {
    fn read(args: &[Bytes], creates: bool) -> Result<Options, Reply> {
        let mut options = Options::default();
        let mut words = &args[5..];
        while let [option, rest @ ..] = words {
            words = match rest {
                _ if creates && is(option, "mkstream") => {
                    options.makes_stream = true;
                    rest
                }
                [read, rest @ ..] if is(option, "entriesread") => {
                    options.read = match integer(read)? {
                        -1 => None,
                        read if read >= 0 => Some(read),
                        _ => {
                            return Err(Reply::fail(
                                "ERR value for ENTRIESREAD must be positive or -1",
                            ));
                        }
                    };
                    rest
                }
                _ => return Err(wrong_subcommand("XGROUP", &args[1])),
            };
        }
        Ok(options)
    }
}

/// The error of a subcommand with arguments that it does not have.
pub(super) fn wrong_subcommand(container: &str, word: &[u8]) -> Reply {
    let word = echo(word);
    echoing(
        "ERR unknown subcommand or wrong number of arguments for '",
        &word[..word.len().min(128)],
        &format!("'. Try {container} HELP."),
    )
}

/// The stream of a subcommand, which has to exist.
fn stream<'a>(ctx: &'a mut Ctx<'_>, key: &Bytes) -> Result<&'a mut Stream, Reply> {
    ctx.db().write::<Stream>(key)?.ok_or(Reply::fail(
        "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the MKSTREAM \
         option to create an empty stream automatically.",
    ))
}

/// The group of a subcommand, which has to exist.
fn group<'a>(ctx: &'a mut Ctx<'_>, args: &[Bytes]) -> Result<&'a mut Group, Reply> {
    let group = stream(ctx, &args[2])?.groups.get_mut(&args[3]);
    group.ok_or_else(|| no_group(&args[2], &args[3]))
}

/// The error of a group that does not exist.
pub(super) fn no_group(key: &[u8], group: &[u8]) -> Reply {
    let begin = b"NOGROUP No such consumer group '";
    echoing_all([begin, group, b"' for key name '", key, b"'"])
}

fn create(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::read(args, true)?;
    let key = &args[2];
    let exists = ctx.db().read::<Stream>(key)?.is_some();
    if !exists && !options.makes_stream {
        stream(ctx, key)?;
    }
    if args.len() > 8 {
        return Err(wrong_subcommand("XGROUP", &args[1]));
    }
    let given = match echo(&args[4]) {
        b"$" => None,
        _ => Some(ids::id(&args[4])?),
    };
    let stream = ctx.db().create::<Stream>(key)?;
    if stream.groups.contains_key(&args[3]) {
        return Err(Reply::fail("BUSYGROUP Consumer Group name already exists"));
    }
    let group = Group {
        last: given.unwrap_or(stream.last),
        read: options.read,
        ..Group::default()
    };
    stream.groups.insert(keep(&args[3]), group);
    ctx.db().wrote();
    Ok(Reply::OK)
}

fn set_id(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let options = Options::read(args, false)?;
    group(ctx, args)?;
    if args.len() > 7 {
        return Err(wrong_subcommand("XGROUP", &args[1]));
    }
    let id = match echo(&args[4]) {
        b"$" => stream(ctx, &args[2])?.last,
        _ => ids::loose(&args[4], 0)?,
    };
    let group = group(ctx, args)?;
    (group.last, group.read) = (id, options.read);
    ctx.db().wrote();
    Ok(Reply::OK)
}

fn destroy(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let group = stream(ctx, &args[2])?.groups.remove(&args[3]);
    if group.is_some() {
        ctx.db().wrote();
    }
    Ok(Reply::flag(group.is_some()))
}

fn create_consumer(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let now = ctx.db().now();
    let consumers = &mut group(ctx, args)?.consumers;
    let is_new = !consumers.contains_key(&args[4]);
    if is_new {
        consumers.insert(keep(&args[4]), now);
        ctx.db().wrote();
    }
    Ok(Reply::flag(is_new))
}

fn delete_consumer(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let group = group(ctx, args)?;
    let pending = group.pending_of(&args[4]);
    if group.consumers.remove(&args[4]).is_some() {
        group.pending.retain(|_, one| one.consumer != args[4]);
        ctx.db().wrote();
    }
    Ok(Reply::count(pending))
}
