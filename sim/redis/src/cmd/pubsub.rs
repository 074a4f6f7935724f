//! SUBSCRIBE channel ..., PSUBSCRIBE pattern ..., UNSUBSCRIBE [channel ...], PUNSUBSCRIBE [pattern ...],
//! PUBLISH channel message, PUBSUB CHANNELS [pattern] | NUMSUB [channel ...] | NUMPAT

use super::prelude::*;
use crate::pubsub::Topic;

const SUBSCRIPTION: u32 = CONNECTION | PUBSUB_FLAG;

pub(super) const SUBSCRIBE: Spec = Spec::new("subscribe", -2, SUBSCRIPTION, |ctx, args| {
    subscribe(ctx, args, Topic::Channel)
});
pub(super) const PSUBSCRIBE: Spec = Spec::new("psubscribe", -2, SUBSCRIPTION, |ctx, args| {
    subscribe(ctx, args, Topic::Pattern)
});
pub(super) const UNSUBSCRIBE: Spec = Spec::new("unsubscribe", -1, SUBSCRIPTION, |ctx, args| {
    unsubscribe(ctx, args, Topic::Channel)
});
pub(super) const PUNSUBSCRIBE: Spec = Spec::new("punsubscribe", -1, SUBSCRIPTION, |ctx, args| {
    unsubscribe(ctx, args, Topic::Pattern)
});
pub(super) const PUBLISH: Spec = Spec::new(
    "publish",
    3,
    PUBSUB_FLAG | LOADING | STALE | FAST,
    |ctx, args| Ok(Reply::count(ctx.state.pubsub.publish(&args[1], &args[2]))),
);
pub(super) const PUBSUB: Spec = Spec::container(
    "pubsub",
    &[
        Spec::new(
            "pubsub|channels",
            -2,
            PUBSUB_FLAG | LOADING | STALE,
            channels,
        ),
        Spec::new(
            "pubsub|numsub",
            -2,
            PUBSUB_FLAG | LOADING | STALE,
            subscribers,
        ),
        Spec::new(
            "pubsub|numpat",
            2,
            PUBSUB_FLAG | LOADING | STALE,
            |ctx, _| Ok(Reply::count(ctx.state.pubsub.of(Topic::Pattern).len())),
        ),
    ],
);

fn subscribe(ctx: &mut Ctx<'_>, args: &[Bytes], topic: Topic) -> Outcome {
    let id = ctx.session.id;
    let replies = args[1..].iter().map(|name| {
        ctx.state.pubsub.subscribe(topic, id, name);
        let count = ctx.state.pubsub.count(id);
        ctx.session.subscriptions = count;
        told("subscribe", topic, Reply::text(name), count)
    });
    Ok(several(replies.collect()))
}

fn unsubscribe(ctx: &mut Ctx<'_>, args: &[Bytes], topic: Topic) -> Outcome {
    let id = ctx.session.id;
    let names = match &args[1..] {
        [] => ctx.state.pubsub.names(topic, id),
        names => names.to_vec(),
    };
    let mut replies = Vec::new();
    for name in &names {
        ctx.state.pubsub.unsubscribe(topic, id, name);
        let count = ctx.state.pubsub.count(id);
        replies.push(told("unsubscribe", topic, Reply::text(name), count));
    }
    let count = ctx.state.pubsub.count(id);
    ctx.session.subscriptions = count;
    if replies.is_empty() {
        replies.push(told("unsubscribe", topic, Reply::Nil, count));
    }
    Ok(several(replies))
}

fn told(what: &str, topic: Topic, name: Reply, count: usize) -> Reply {
    let what = match topic {
        Topic::Channel => what.to_owned(),
        Topic::Pattern => format!("p{what}"),
    };
    Reply::Push(vec![Reply::text(what), name, Reply::count(count)])
}

fn several(mut replies: Vec<Reply>) -> Reply {
    match replies.len() {
        1 => replies.remove(0),
        _ => Reply::Several(replies),
    }
}

fn channels(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let pattern = match &args[2..] {
        [] => None,
        [pattern] => Some(pattern),
        _ => {
            return Err(echoing(
                "ERR unknown subcommand or wrong number of arguments for '",
                &args[1],
                "'. Try PUBSUB HELP.",
            ));
        }
    };
    let names = ctx.state.pubsub.of(Topic::Channel).keys();
    let names = names.filter(|name| pattern.is_none_or(|pattern| glob(pattern, name)));
    Ok(Reply::Array(names.cloned().map(Reply::Bulk).collect()))
}

fn subscribers(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let all = ctx.state.pubsub.of(Topic::Channel);
    let counts = args[2..].iter().flat_map(|name| {
        let count = all.get(name).map_or(0, std::collections::BTreeSet::len);
        [Reply::text(name), Reply::count(count)]
    });
    Ok(Reply::Array(counts.collect()))
}
