//! XREAD [COUNT count] [BLOCK milliseconds] STREAMS key [key ...] id [id ...],
//! XREADGROUP GROUP group consumer [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key [key ...] id [id ...]
//!
//! With BLOCK and nothing to read, the connection waits: see [`crate::blocked`].

use super::bpop::wait;
use super::ids;
use super::prelude::*;
use super::xrange::entry;

pub(super) const XREAD: Spec = Spec::new(
    "xread",
    -4,
    READONLY | BLOCKING | MOVABLEKEYS,
    |ctx, args| run(ctx, args, false),
);
pub(super) const XREADGROUP: Spec = Spec::new(
    "xreadgroup",
    -7,
    WRITE | BLOCKING | MOVABLEKEYS,
    |ctx, args| run(ctx, args, true),
);

/// How many entries one that has waited gets at most, if it does not say.
const MOST_AFTER_WAIT: usize = 1000;

/// The arguments.
#[derive(Default)]
struct Read<'a> {
    group: Option<(&'a Bytes, &'a Bytes)>,
    count: Option<usize>,
    acknowledged: bool,
    /// For how long it waits, in milliseconds; 0 is for ever.
    block: Option<u64>,
    keys: &'a [Bytes],
    ids: &'a [Bytes],
}

/// From where a stream is read.
#[derive(Clone, Copy)]
enum Since {
    After(StreamId),
    /// What is new for the group.
    New,
}

impl<'a> Read<'a> {
    fn parse(ctx: &Ctx<'_>, args: &'a [Bytes], grouped: bool) -> Result<Read<'a>, Reply> {
        let mut read = Read::default();
        let mut words = &args[1..];
        while let [option, rest @ ..] = words {
            words = match rest {
                [time, rest @ ..] if is(option, "block") => {
                    if ctx.session.scripted {
                        let text = " command is not allowed with BLOCK option from scripts";
                        return Err(echoing("ERR ", &args[0], text));
                    }
                    read.block = Some(timeout(time)?);
                    rest
                }
                [count, rest @ ..] if is(option, "count") => {
                    let count = usize::try_from(integer(count)?).ok();
                    read.count = count.filter(|count| *count > 0);
                    rest
                }
                [_, ..] if is(option, "streams") => {
                    read.streams(rest)?;
                    break;
                }
                [group, consumer, rest @ ..] if is(option, "group") => {
                    read.group = Some((group, consumer));
                    rest
                }
                _ if is(option, "noack") => {
                    read.acknowledged = true;
                    rest
                }
                _ => return Err(SYNTAX),
            };
            if !grouped && (read.group.is_some() || read.acknowledged) {
                let option = String::from_utf8_lossy(option).to_ascii_uppercase();
                return Err(Reply::error(format!(
                    "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
                )));
            }
        }
        if read.keys.is_empty() {
            return Err(SYNTAX);
        }
        if grouped && read.group.is_none() {
            return Err(Reply::fail("ERR Missing GROUP option for XREADGROUP"));
        }
        Ok(read)
    }

    fn streams(&mut self, words: &'a [Bytes]) -> Result<(), Reply> {
        if !words.len().is_multiple_of(2) {
            return Err(Reply::fail(
                "ERR Unbalanced XREAD list of streams: for each stream key an ID or '$' must be specified.",
            ));
        }
        (self.keys, self.ids) = words.split_at(words.len() / 2);
        Ok(())
    }

    /// Where a stream is read from, once its type and its group are checked.
    fn since(&self, ctx: &mut Ctx<'_>, key: &Bytes, id: &Bytes) -> Result<Since, Reply> {
        let stream = ctx.db().read::<Stream>(key)?;
        if let Some((group, _)) = self.group
            && !stream.is_some_and(|stream| stream.groups.contains_key(group))
        {
            return Err(echoing_all([
                b"NOGROUP No such key '",
                key,
                b"' or consumer group '",
                group,
                b"' in XREADGROUP with GROUP option",
            ]));
        }
        match (echo(id), self.group) {
            (b"$", Some(_)) => Err(Reply::fail(
                "ERR The $ ID is meaningless in the context of XREADGROUP: you want to read the history of this \
                 consumer by specifying a proper ID, or use the > ID to get new messages. The $ ID would just return \
                 an empty result set.",
            )),
            (b"$", None) => Ok(Since::After(
                stream.map_or(StreamId::MIN, |stream| stream.last),
            )),
            (b">", Some(_)) => Ok(Since::New),
            (b">", None) => Err(Reply::fail(
                "ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option.",
            )),
            (_, Some(_)) if ids::id(id)? == StreamId::MAX => Ok(Since::New),
            _ => ids::id(id).map(Since::After),
        }
    }

    /// What there is to read in one stream.
    fn serve(&self, ctx: &mut Ctx<'_>, key: &Bytes, since: Since) -> Result<Option<Reply>, Reply> {
        let most = self.count.unwrap_or(usize::MAX);
        let now = ctx.db().now();
        let Some((group, consumer)) = self.group else {
            let stream = ctx.db().read::<Stream>(key)?;
            let (Some(stream), Since::After(id)) = (stream, since) else {
                return Ok(None);
            };
            return Ok((stream.last_valid_id() > id).then(|| after(stream, id, most)));
        };
        let Some(stream) = ctx.db().write::<Stream>(key)? else {
            return Ok(None);
        };
        // One who finds nothing is not noted.
        let reply = match since {
            Since::After(id) => history(stream, group, consumer, (id, most, now)),
            Since::New => {
                let new = stream.deliver(group, consumer, most, self.acknowledged, now);
                if new.is_empty() {
                    return Ok(None);
                }
                entries(&new)
            }
        };
        see(stream, group, consumer, now);
        ctx.db().wrote();
        Ok(Some(reply))
    }
}

fn timeout(word: &Bytes) -> Result<u64, Reply> {
    let millis =
        integer(word).map_err(|_| Reply::fail("ERR timeout is not an integer or out of range"))?;
    u64::try_from(millis).map_err(|_| Reply::fail("ERR timeout is negative"))
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes], grouped: bool) -> Outcome {
    let read = Read::parse(ctx, args, grouped)?;
    let streams = read.keys.iter().zip(read.ids);
    let starts = streams.map(|(key, id)| Ok((key, read.since(ctx, key, id)?)));
    let starts: Vec<(&Bytes, Since)> = starts.collect::<Result<_, Reply>>()?;
    let mut reply = Vec::new();
    for (key, since) in &starts {
        if let Some(entries) = read.serve(ctx, key, *since)? {
            reply.extend([Reply::Bulk((*key).clone()), entries]);
        }
    }
    if !reply.is_empty() {
        return Ok(Reply::Keyed(reply));
    }
    if let Some(millis) = read.block {
        let until = ctx.state.micros.saturating_add(millis.saturating_mul(1000));
        let mut words = args[..args.len() - starts.len()].to_vec();
        // What `$` was when it began to wait.
        words.extend(starts.iter().map(|(_, since)| match since {
            Since::After(id) => Bytes::from(id.to_string()),
            Since::New => Bytes::from_static(b">"),
        }));
        let take = if grouped { take_in_group } else { take };
        wait(ctx, &words, take, (millis > 0).then_some(until));
    }
    Ok(Reply::NilArray)
}

fn take(ctx: &mut Ctx<'_>, words: &[Bytes]) -> Result<Option<Reply>, Reply> {
    take_from(ctx, &Read::parse(ctx, words, false)?)
}

fn take_in_group(ctx: &mut Ctx<'_>, words: &[Bytes]) -> Result<Option<Reply>, Reply> {
    take_from(ctx, &Read::parse(ctx, words, true)?)
}

/// For one that waits, the first stream that has been added to since.
fn take_from(ctx: &mut Ctx<'_>, read: &Read<'_>) -> Result<Option<Reply>, Reply> {
    let (most, now) = (read.count.unwrap_or(MOST_AFTER_WAIT), ctx.db().now());
    for (key, id) in read.keys.iter().zip(read.ids) {
        let Ok(Some(stream)) = ctx.db().read::<Stream>(key) else {
            if read.group.is_some() {
                return Ok(Some(Reply::fail(
                    "UNBLOCKED the stream key no longer exists",
                )));
            }
            continue;
        };
        let reply = match read.group {
            None => {
                let id = ids::id(id)?;
                (stream.last > id).then(|| after(stream, id, most))
            }
            Some((name, consumer)) => match stream.groups.get(name) {
                None => {
                    return Ok(Some(Reply::fail(
                        "NOGROUP the consumer group this client was blocked on no longer exists",
                    )));
                }
                Some(group) if stream.last <= group.last => None,
                Some(_) => ctx.db().write::<Stream>(key)?.map(|stream| {
                    see(stream, name, consumer, now);
                    entries(&stream.deliver(name, consumer, most, read.acknowledged, now))
                }),
            },
        };
        if let Some(entries) = reply {
            ctx.db().wrote();
            return Ok(Some(Reply::Keyed(vec![Reply::text(key), entries])));
        }
    }
    Ok(None)
}

fn after(stream: &Stream, id: StreamId, most: usize) -> Reply {
    let range = id.next().map(|start| stream.range(start, StreamId::MAX));
    let entries = range.into_iter().flatten().take(most).map(entry);
    Reply::Array(entries.collect())
}

fn entries(entries: &[(StreamId, Vec<Bytes>)]) -> Reply {
    let entries = entries.iter().map(|(id, fields)| entry((*id, fields)));
    Reply::Array(entries.collect())
}

/// Notes that a consumer was here, which creates it.
pub(super) fn see(stream: &mut Stream, group: &Bytes, consumer: &Bytes, now: u64) {
    if let Some(group) = stream.groups.get_mut(group) {
        group.consumers.insert(keep(consumer), now);
    }
}

/// What this consumer has not acknowledged. It is delivered again.
fn history(
    stream: &mut Stream,
    group: &Bytes,
    consumer: &Bytes,
    (id, most, now): (StreamId, usize, u64),
) -> Reply {
    let mut reply = Vec::new();
    let mut groups = std::mem::take(&mut stream.groups);
    let pending = groups.get_mut(group).zip(id.next()).map(|(group, start)| {
        let pending = group.pending.range_mut(start..);
        pending.filter(|(_, pending)| pending.consumer == *consumer)
    });
    for (id, pending) in pending.into_iter().flatten().take(most) {
        reply.push(match stream.get(*id) {
            None => Reply::Array(vec![Reply::text(id.to_string()), Reply::NilArray]),
            Some(fields) => {
                pending.delivered_at = now;
                pending.deliveries = pending.deliveries.saturating_add(1);
                entry((*id, fields))
            }
        });
    }
    stream.groups = groups;
    Reply::Array(reply)
}
