//! Does to redis-server, to the ways there and to replicas what the plan says.
//!
//! It must not know what they are doing at the time.

use std::{future::Future, io, sync::Arc, time::Duration};

use haechi_store_redis::clock::{Clock, SystemClock};
use redis::{Connection, RedisResult, Value};

use super::{
    plan::{Kind, Tally, Trouble},
    proxy::Way,
    replica::{Order, Replica},
    server::{Server, ask},
};
use crate::fault::FaultKind;

/// How long the server may take for an answer to the nemesis.
const PATIENCE: Duration = Duration::from_secs(1);

/// Keeps the server busy for about so many milliseconds: scripts have no clock
/// that moves while they run.
const SPIN: &str = "for _ = 1, tonumber(ARGV[1]) * 100000 do end";

/// Strikes the server, one fault after the other, until the plan is done.
pub(super) async fn strike_server(
    server: &mut Server,
    plan: &[Trouble],
    locks: &Arc<[String]>,
    tally: &Tally,
    clock: &SystemClock,
) -> io::Result<()> {
    let began = clock.now();
    for trouble in plan {
        until(clock, began + trouble.at).await;
        match trouble.kind {
            Kind::RedisKilled => {
                server.kill()?;
                tally.struck(trouble.kind);
                clock.sleep(trouble.lasts).await;
                server.restart()?;
            }
            Kind::World(FaultKind::RedisRestart) => {
                server.shut_down()?;
                tally.struck(trouble.kind);
                clock.sleep(trouble.lasts).await;
                server.restart()?;
            }
            Kind::RedisStopped => {
                server.stop()?;
                tally.struck(trouble.kind);
                clock.sleep(trouble.lasts).await;
                server.resume()?;
            }
            _ => {
                // A server that does not let the nemesis in is not struck.
                let Ok(mut connection) = server.connect(PATIENCE) else {
                    continue;
                };
                let (trouble, locks) = (*trouble, locks.clone());
                let struck = tokio::task::spawn_blocking(move || {
                    let took = strike(&mut connection, &trouble, &locks);
                    (connection, took)
                });
                let Ok((mut connection, Ok(true))) = struck.await else {
                    continue;
                };
                tally.struck(trouble.kind);
                let back: &[&[&str]] = match trouble.kind {
                    Kind::World(FaultKind::OutOfMemory) => &[&["CONFIG", "SET", "maxmemory", "0"]],
                    Kind::World(FaultKind::ReadOnly) => &[&["REPLICAOF", "NO", "ONE"]],
                    Kind::World(FaultKind::MaxClients) => {
                        &[&["CONFIG", "SET", "maxclients", "10000"]]
                    }
                    _ => continue,
                };
                clock.sleep(trouble.lasts).await;
                if back
                    .iter()
                    .any(|words| ask(&mut connection, words).is_err())
                {
                    server.heal(clock).await?;
                }
            }
        }
    }
    Ok(())
}

/// Strikes a server by asking it; whether that changed anything.
fn strike(connection: &mut Connection, trouble: &Trouble, locks: &[String]) -> RedisResult<bool> {
    let Kind::World(kind) = trouble.kind else {
        ask(connection, &["CLIENT", "KILL", "TYPE", "normal"])?;
        return Ok(true);
    };
    match kind {
        FaultKind::ScriptFlush => {
            ask(connection, &["SCRIPT", "FLUSH"])?;
        }
        FaultKind::OutOfMemory => {
            ask(connection, &["CONFIG", "SET", "maxmemory", "1"])?;
        }
        FaultKind::ReadOnly => {
            // Of a primary that nobody has ever seen: the data stays.
            ask(connection, &["REPLICAOF", "127.0.0.1", "1"])?;
        }
        FaultKind::MaxClients => {
            ask(connection, &["CONFIG", "SET", "maxclients", "1"])?;
            ask(connection, &["CLIENT", "KILL", "TYPE", "normal"])?;
        }
        FaultKind::SlowScript => {
            let millis = trouble.lasts.as_millis().to_string();
            ask(connection, &["EVAL", SPIN, "0", &millis])?;
        }
        _ => {
            let millis = trouble.amount.as_millis().to_string();
            let mut took = false;
            for lock in locks {
                let words: &[&str] = match kind {
                    FaultKind::LockDeleted => &["DEL", lock],
                    FaultKind::LockStolen => &["SET", lock, "thief", "XX", "PX", &millis],
                    FaultKind::LockLapsed => &["PEXPIRE", lock, "1"],
                    _ => &["SET", lock, "the dead", "PX", &millis],
                };
                let answer = ask(connection, words)?;
                took |= matches!(answer, Value::Int(1) | Value::Okay);
            }
            return Ok(took);
        }
    }
    Ok(true)
}

/// Strikes replicas and their ways, until the plan is done.
pub(super) async fn strike_replicas(
    replicas: &[Replica],
    ways: &[Way],
    plan: &[Trouble],
    tally: &Tally,
    clock: &SystemClock,
) {
    let began = clock.now();
    let mut open: Vec<Trouble> = Vec::new();
    for trouble in plan {
        while let Some(next) = first_to_end(&open)
            && open[next].at + open[next].lasts <= trouble.at
        {
            let over = open.swap_remove(next);
            until(clock, began + over.at + over.lasts).await;
            ways[over.replica].end(over);
        }
        until(clock, began + trouble.at).await;
        match trouble.kind {
            Kind::World(FaultKind::Crash) => {
                replicas[trouble.replica].order(Order::Crash(trouble.lasts));
                tally.struck(trouble.kind);
            }
            Kind::World(FaultKind::Pause) => {
                replicas[trouble.replica].order(Order::Pause(trouble.lasts));
                tally.struck(trouble.kind);
            }
            _ => {
                ways[trouble.replica].begin(*trouble);
                open.push(*trouble);
            }
        }
    }
}

fn first_to_end(open: &[Trouble]) -> Option<usize> {
    (0..open.len()).min_by_key(|number| open[*number].at + open[*number].lasts)
}

/// Waits until this time.
pub(super) fn until(clock: &SystemClock, at: Duration) -> impl Future<Output = ()> {
    let left = at.saturating_sub(clock.now());
    let clock = clock.clone();
    async move {
        if !left.is_zero() {
            clock.sleep(left).await;
        }
    }
}
