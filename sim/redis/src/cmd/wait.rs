//! WAIT numreplicas timeout | WAITAOF numlocal numreplicas timeout
//!
//! The reply is what has been reached by now. If that is less than was asked for,
//! the connection waits: see [`crate::Redis::waited`].

use super::prelude::*;
use crate::durable::{ServerKind, Waiting};

pub(super) const WAIT: Spec = Spec::new("wait", 3, NOSCRIPT, wait);
pub(super) const WAITAOF: Spec =
    Spec::new("waitaof", 4, NOSCRIPT, wait_aof).only_on(ServerKind::Valkey9);

fn wait(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    if ctx.state.modes.readonly {
        return Err(match ctx.state.kind {
            ServerKind::Redis70 | ServerKind::Redis62 => Reply::fail(
                "ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0 if a replica is \
                 configured to be writable (which is not the default) writes to replicas are just local and are not \
                 propagated.",
            ),
            ServerKind::Valkey9 => Reply::fail(
                "ERR WAIT cannot be used with replica instances. Please also note that if a replica is configured to \
                 be writable (which is not the default) writes to replicas are just local and are not propagated.",
            ),
        });
    }
    let replicas = integer(&args[1])?;
    let until = until(ctx, &args[2])?;
    Ok(begin(ctx, None, replicas, until))
}

fn wait_aof(ctx: &mut Ctx<'_>, args: &[Bytes]) -> Outcome {
    let disk = match integer(&args[1])? {
        0 => false,
        1 => true,
        _ => {
            return Err(Reply::fail(
                "ERR value is out of range, value must between 0 and 1",
            ));
        }
    };
    let replicas = count(&args[2])?;
    let until = until(ctx, &args[3])?;
    if ctx.state.modes.readonly {
        return Err(Reply::fail(
            "ERR WAITAOF cannot be used with replica instances. Please also note that writes to replicas are just \
             local and are not propagated.",
        ));
    }
    if disk && ctx.state.setting("appendonly") != "yes" {
        return Err(Reply::fail(
            "ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.",
        ));
    }
    let replicas = i64::try_from(replicas).unwrap_or(i64::MAX);
    Ok(begin(ctx, Some(disk), replicas, until))
}

/// When the time-out is over, in microseconds; `None`: never.
fn until(ctx: &Ctx<'_>, timeout: &Bytes) -> Result<Option<u64>, Reply> {
    match crate::number::integer(timeout).map(u64::try_from) {
        None => Err(Reply::fail("ERR timeout is not an integer or out of range")),
        Some(Err(_)) => Err(Reply::fail("ERR timeout is negative")),
        Some(Ok(0)) => Ok(None),
        Some(Ok(millis)) => {
            let micros = millis.saturating_mul(1000);
            Ok(Some(ctx.state.micros.saturating_add(micros)))
        }
    }
}

fn begin(ctx: &mut Ctx<'_>, disk: Option<bool>, replicas: i64, until: Option<u64>) -> Reply {
    let waiting = Waiting {
        offset: ctx.session.offset,
        disk,
        replicas,
        until,
    };
    let (reply, is_met) = ctx.state.reached(waiting);
    ctx.session.waiting = (!is_met).then_some(waiting);
    reply
}
