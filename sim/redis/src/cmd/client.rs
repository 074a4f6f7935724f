//! CLIENT ID | GETNAME | SETNAME | SETINFO | NO-EVICT | INFO | LIST [ID id ...]

use super::prelude::*;
use crate::pubsub::Topic;

pub(super) const CLIENT: Spec = Spec::container(
    "client",
    &[
        Spec::new("client|id", 2, CONNECTION, id),
        Spec::new("client|getname", 2, CONNECTION, get_name),
        Spec::new("client|setname", 3, CONNECTION, set_name),
        // Not in redis-server 7.0, but newer clients send it first.
        Spec::new("client|setinfo", 4, CONNECTION, set_info),
        Spec::new("client|no-evict", 3, CONNECTION | ADMIN, no_evict),
        Spec::new("client|info", 2, CONNECTION, info),
        Spec::new("client|list", -2, CONNECTION | ADMIN, list),
    ],
);

fn id(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::Integer(
        i64::try_from(ctx.session.id).unwrap_or(i64::MAX),
    ))
}

fn get_name(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    let name = &ctx.session.name;
    Ok(if name.is_empty() {
        Reply::Nil
    } else {
        Reply::Bulk(name.clone())
    })
}

fn set_name(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    rename(ctx, checked_name(&args[2])?);
    Ok(Reply::OK)
}

/// Names this connection.
pub(super) fn rename(ctx: &mut Ctx<'_>, name: Bytes) {
    ctx.state.clients.insert(ctx.session.id, name.clone());
    ctx.session.name = name;
}

fn info(ctx: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(described(ctx, &[ctx.session.id]))
}

fn list(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let ids: Vec<u64> = match &args[2..] {
        [] => ctx.state.clients.keys().copied().collect(),
        [option, wanted @ ..] if is(option, "id") && !wanted.is_empty() => {
            let parse = |word: &Bytes| integer(word).ok().and_then(|id| u64::try_from(id).ok());
            let ids: Option<Vec<u64>> = wanted.iter().map(parse).collect();
            ids.ok_or(Reply::fail("ERR Invalid client ID"))?
        }
        _ => return Err(SYNTAX),
    };
    Ok(described(ctx, &ids))
}

/// A line for each connection. Of the others neither address, database nor protocol is known.
fn described(ctx: &Ctx<'_>, ids: &[u64]) -> Reply {
    let mut text = String::new();
    for id in ids {
        let Some(name) = ctx.state.clients.get(id) else {
            continue;
        };
        let name = String::from_utf8_lossy(name);
        let db = match *id == ctx.session.id {
            true => ctx.session.db,
            false => 0,
        };
        let topics = |topic| ctx.state.pubsub.names(topic, *id).len();
        let (sub, psub) = (topics(Topic::Channel), topics(Topic::Pattern));
        text += &format!(
            "id={id} addr=127.0.0.1:0 laddr=127.0.0.1:0 fd=0 name={name} age=0 idle=0 flags=N db={db} sub={sub} \
             psub={psub} multi=-1 cmd=client user=default redir=-1 resp=2\n"
        );
    }
    Reply::Verbatim(*b"txt", Bytes::from(text))
}

fn set_info(_: &mut Ctx<'_>, _: &[Bytes]) -> Outcome {
    Ok(Reply::OK)
}

fn no_evict(_: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if is(&args[2], "on") || is(&args[2], "off") {
        Ok(Reply::OK)
    } else {
        Err(SYNTAX)
    }
}

/// A connection's name: printable ASCII without blanks.
pub(super) fn checked_name(name: &Bytes) -> Result<Bytes, Reply> {
    if name.iter().all(|byte| (b'!'..=b'~').contains(byte)) {
        Ok(keep(name))
    } else {
        Err(Reply::fail(
            "ERR Client names cannot contain spaces, newlines or special characters.",
        ))
    }
}
