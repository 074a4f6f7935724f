//! XPENDING key group [[IDLE milliseconds] start end count [consumer]]

use super::ids;
use super::prelude::*;
use super::xclaim::no_such_key_or_group;
use crate::stream::Group;

pub(super) const XPENDING: Spec = Spec::new("xpending", -3, READONLY, run).one_key();

struct Range<'a> {
    least_idle: u64,
    start: StreamId,
    end: StreamId,
    count: usize,
    consumer: Option<&'a Bytes>,
}

impl<'a> Range<'a> {
    fn read(args: &'a [Bytes]) -> Result<Option<Range<'a>>, Reply> {
        let (idle, words) = match &args[3..] {
            [] => return Ok(None),
            words if words.len() < 3 || words.len() > 6 => return Err(SYNTAX),
            [option, idle, rest @ ..] if is(option, "idle") => (Some(idle), rest),
            words => (None, words),
        };
        let idle = idle.map_or(Ok(0), |idle| integer(idle))?;
        let [start, end, count, rest @ ..] = words else {
            return Err(SYNTAX);
        };
        let count = usize::try_from(integer(count)?).unwrap_or(0);
        Ok(Some(Range {
            least_idle: u64::try_from(idle).unwrap_or(0),
            start: ids::start(start)?,
            end: ids::end(end)?,
            count,
            consumer: rest.first(),
        }))
    }
}

fn run(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let range = Range::read(args)?;
    let now = ctx.db().now();
    let stream = ctx.db().read::<Stream>(&args[1])?;
    let group = stream
        .and_then(|stream| stream.groups.get(&args[2]))
        .ok_or_else(|| no_such_key_or_group(&args[1], &args[2]))?;
    Ok(match range {
        None => summary(group),
        Some(range) => list(group, &range, now),
    })
}

fn summary(group: &Group) -> Reply {
    let mut ids = group.pending.keys();
    let Some(first) = ids.next() else {
        return Reply::Array(vec![
            Reply::Integer(0),
            Reply::Nil,
            Reply::Nil,
            Reply::NilArray,
        ]);
    };
    let last = ids.next_back().unwrap_or(first);
    let counted = group.consumers.keys().map(|consumer| {
        let pending = group.pending_of(consumer);
        (consumer, pending)
    });
    let consumers = counted
        .filter(|(_, pending)| *pending > 0)
        .map(|(consumer, pending)| {
            let pending = Reply::text(pending.to_string());
            Reply::Array(vec![Reply::Bulk(consumer.clone()), pending])
        });
    Reply::Array(vec![
        Reply::count(group.pending.len()),
        Reply::text(first.to_string()),
        Reply::text(last.to_string()),
        Reply::Array(consumers.collect()),
    ])
}

fn list(group: &Group, range: &Range<'_>, now: u64) -> Reply {
    let is_any = range.start <= range.end;
    let pending = is_any.then(|| group.pending.range(range.start..=range.end));
    let pending = pending
        .into_iter()
        .flatten()
        .map(|(id, one)| (id, one, now.saturating_sub(one.delivered_at)))
        .filter(|(_, one, idle)| {
            range.consumer.is_none_or(|name| one.consumer == *name) && *idle >= range.least_idle
        });
    let entry = |(id, one, idle): (&StreamId, &crate::stream::Pending, u64)| {
        Reply::Array(vec![
            Reply::text(id.to_string()),
            Reply::Bulk(one.consumer.clone()),
            Reply::Integer(i64::try_from(idle).unwrap_or(i64::MAX)),
            Reply::Integer(one.deliveries),
        ])
    };
    Reply::Array(pending.take(range.count).map(entry).collect())
}
