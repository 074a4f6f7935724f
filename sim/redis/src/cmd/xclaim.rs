//! XCLAIM key group consumer min-idle-time id [id ...] [IDLE ms | TIME unix-ms] [RETRYCOUNT count] [FORCE] [JUSTID]
//! [LASTID id], XAUTOCLAIM key group consumer min-idle-time start [COUNT count] [JUSTID]

use super::ids;
use super::prelude::*;
use super::xrange::entry;
use super::xread::see;
use crate::stream::{Group, Pending};

pub(super) const XCLAIM: Spec = Spec::new("xclaim", -6, WRITE | FAST, claim).one_key();
pub(super) const XAUTOCLAIM: Spec = Spec::new("xautoclaim", -6, WRITE | FAST, claim_from).one_key();

/// How an entry is claimed.
struct Claim {
    least_idle: u64,
    /// When it counts as delivered, in Unix milliseconds.
    delivered_at: u64,
    deliveries: Option<i64>,
    force: bool,
    only_ids: bool,
    last: StreamId,
}

impl Claim {
    fn new(least_idle: &Bytes, invalid: &'static str, now: u64) -> Result<Claim, Reply> {
        let least_idle = integer(least_idle).map_err(|_| Reply::fail(invalid))?;
        Ok(Claim {
            least_idle: u64::try_from(least_idle).unwrap_or(0),
            delivered_at: now,
            deliveries: None,
            force: false,
            only_ids: false,
            last: StreamId::MIN,
        })
    }

    fn options(&mut self, mut words: &[Bytes], now: u64) -> Result<(), Reply> {
        // A time in the future, or before the epoch, is now.
        let at = |millis: i64| u64::try_from(millis).ok().filter(|at| *at <= now);
        let now_signed = i64::try_from(now).unwrap_or(i64::MAX);
        while let [option, rest @ ..] = words {
            let number = |value: &Bytes, text| integer(value).map_err(|_| Reply::fail(text));
            words = match rest {
                _ if is(option, "force") => {
                    self.force = true;
                    rest
                }
                _ if is(option, "justid") => {
                    self.only_ids = true;
                    rest
                }
                [value, rest @ ..] if is(option, "idle") => {
                    let idle = number(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                    self.delivered_at = at(now_signed.saturating_sub(idle)).unwrap_or(now);
                    rest
                }
                [value, rest @ ..] if is(option, "time") => {
                    let time = number(value, "ERR Invalid TIME option argument for XCLAIM")?;
                    self.delivered_at = at(time).unwrap_or(now);
                    rest
                }
                [value, rest @ ..] if is(option, "retrycount") => {
                    let text = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
                    self.deliveries = Some(number(value, text)?).filter(|count| *count >= 0);
                    rest
                }
                [value, rest @ ..] if is(option, "lastid") => {
                    self.last = ids::id(value)?;
                    rest
                }
                _ => return Err(echoing("ERR Unrecognized XCLAIM option '", option, "'")),
            };
        }
        Ok(())
    }

    /// Gives an entry to a consumer; returns whether it did.
    fn apply(&self, group: &mut Group, consumer: &Bytes, id: StreamId, now: u64) -> bool {
        let one = match group.pending.get_mut(&id) {
            Some(one) if now.saturating_sub(one.delivered_at) < self.least_idle => return false,
            Some(one) => one,
            None if self.force => group.pending.entry(id).or_insert(Pending {
                consumer: Bytes::new(),
                delivered_at: now,
                deliveries: 1,
            }),
            None => return false,
        };
        one.consumer = keep(consumer);
        one.delivered_at = self.delivered_at;
        one.deliveries = match (self.deliveries, self.only_ids) {
            (Some(deliveries), _) => deliveries,
            (None, true) => one.deliveries,
            (None, false) => one.deliveries.saturating_add(1),
        };
        true
    }

    /// Claims an entry for the consumer of a command. One that was deleted is pending no more.
    fn take(&self, stream: &mut Stream, args: &[Bytes], id: StreamId, now: u64) -> Taken {
        let exists = stream.get(id).is_some();
        let Some(group) = stream.groups.get_mut(&args[2]) else {
            return Taken::Nothing;
        };
        if !exists {
            return match group.pending.remove(&id) {
                Some(_) => Taken::Deleted,
                None => Taken::Nothing,
            };
        }
        if !self.apply(group, &args[3], id, now) {
            return Taken::Nothing;
        }
        see(stream, &args[2], &args[3], now);
        Taken::Claimed(self.reply(stream, id))
    }

    fn reply(&self, stream: &Stream, id: StreamId) -> Reply {
        match self.only_ids {
            true => Reply::text(id.to_string()),
            false => entry((id, stream.get(id).unwrap_or_default())),
        }
    }
}

/// What came of an entry that was to be claimed.
enum Taken {
    Claimed(Reply),
    Deleted,
    Nothing,
}

/// The error of a key or a group that does not exist.
pub(super) fn no_such_key_or_group(key: &[u8], group: &[u8]) -> Reply {
    let begin = b"NOGROUP No such key '";
    echoing_all([begin, key, b"' or consumer group '", group, b"'"])
}

/// The stream, which has to have this group.
fn stream<'a>(ctx: &'a mut Ctx<'_>, args: &[Bytes]) -> Result<&'a mut Stream, Reply> {
    let stream = ctx.db().write::<Stream>(&args[1])?;
    stream
        .filter(|stream| stream.groups.contains_key(&args[2]))
        .ok_or_else(|| no_such_key_or_group(&args[1], &args[2]))
}

fn claim(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let now = ctx.db().now();
    stream(ctx, args)?;
    let invalid = "ERR Invalid min-idle-time argument for XCLAIM";
    let mut how = Claim::new(&args[4], invalid, now)?;
    let wanted: Vec<StreamId> = args[5..]
        .iter()
        .map_while(|word| ids::id(word).ok())
        .collect();
    how.options(&args[5 + wanted.len()..], now)?;
    let stream = stream(ctx, args)?;
    let mut has_changed = false;
    if let Some(group) = stream.groups.get_mut(&args[2]) {
        has_changed = how.last > group.last;
        group.last = group.last.max(how.last);
    }
    let mut claimed = Vec::new();
    for id in wanted {
        let taken = how.take(stream, args, id, now);
        has_changed |= !matches!(taken, Taken::Nothing);
        if let Taken::Claimed(reply) = taken {
            claimed.push(reply);
        }
    }
    if has_changed {
        ctx.db().wrote();
    }
    Ok(Reply::Array(claimed))
}

fn claim_from(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let now = ctx.db().now();
    let invalid = "ERR Invalid min-idle-time argument for XAUTOCLAIM";
    let mut how = Claim::new(&args[4], invalid, now)?;
    let start = ids::start(&args[5])?;
    let (mut count, mut words) = (100, &args[6..]);
    while let [option, rest @ ..] = words {
        words = match rest {
            [value, rest @ ..] if is(option, "count") => {
                count = claims(value)?;
                rest
            }
            _ if is(option, "justid") => {
                how.only_ids = true;
                rest
            }
            _ => return Err(SYNTAX),
        };
    }
    let stream = stream(ctx, args)?;
    let group = stream.groups.get(&args[2]);
    let pending = group
        .into_iter()
        .flat_map(|group| group.pending.range(start..));
    let pending: Vec<StreamId> = pending.map(|(id, _)| *id).collect();
    let (mut claimed, mut deleted) = (Vec::new(), Vec::new());
    let mut attempts = count.saturating_mul(10);
    let mut pending = pending.into_iter().peekable();
    while attempts > 0 && claimed.len() + deleted.len() < count {
        let Some(id) = pending.next() else {
            break;
        };
        attempts -= 1;
        match how.take(stream, args, id, now) {
            Taken::Claimed(reply) => claimed.push(reply),
            Taken::Deleted => deleted.push(Reply::text(id.to_string())),
            Taken::Nothing => {}
        }
    }
    let next = pending.peek().copied().unwrap_or(StreamId::MIN);
    if !claimed.is_empty() || !deleted.is_empty() {
        ctx.db().wrote();
    }
    Ok(Reply::Array(vec![
        Reply::text(next.to_string()),
        Reply::Array(claimed),
        Reply::Array(deleted),
    ]))
}

/// How many entries XAUTOCLAIM claims at most.
fn claims(word: &Bytes) -> Result<usize, Reply> {
    let count = integer(word)
        .ok()
        .and_then(|count| usize::try_from(count).ok());
    count
        .filter(|count| (1..=usize::MAX / 32).contains(count))
        .ok_or(Reply::fail("ERR COUNT must be > 0"))
}
