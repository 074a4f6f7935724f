//! A counter behind Redlock: a lock that is held where most of three servers have granted it, for as
//! long as it lasts by the holder's own clock. The counter is on the first server. A holder that is
//! paused once it has the lock overwrites what another one has written meanwhile.
//!
//! ```console
//! $ cargo run --release -p haechi-sim --example redlock_counter -- --report redlock.html
//! ```

use std::{process::ExitCode, time::Duration};

use haechi_sim::system::{
    Args, CheckError, Failure, FaultClass, Process, Random, Run, Setup, System, Violation,
};
use redis::{RedisResult, cmd};

const SERVERS: usize = 3;
/// How long the lock lasts.
const LEASE: Duration = Duration::from_millis(400);
/// Deletes the lock if it is still that of the caller.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// The system under test.
pub struct RedlockCounter;

/// Adds 1 to the counter, and answers what it is then.
#[derive(Clone, Debug)]
pub struct Add;

impl System for RedlockCounter {
    type Operation = Add;
    type Answer = u64;
    type Client = Process;

    fn setup(&self) -> Setup {
        let classes = [FaultClass::Network, FaultClass::Replica];
        Setup {
            servers: SERVERS,
            lease: LEASE,
            faults: classes.into_iter().flat_map(FaultClass::kinds).collect(),
            ..Setup::default()
        }
    }

    fn draw(&self, _: &mut Random) -> Add {
        Add
    }

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, process: &mut Process, _: Add) -> Result<u64, Failure> {
        let token = process.random();
        for _ in 0..10 {
            if lock(process, token).await {
                let added = add(process).await;
                release(process, token).await;
                return added;
            }
            process.mark("no_majority");
            release(process, token).await;
            process.sleep(Duration::from_millis(20 + token % 80)).await;
        }
        Err(Failure::not_applied("the lock was not granted"))
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        run.linearizable(0, |count, _, answer| {
            let fits = answer.is_none_or(|answer| *answer == count + 1);
            fits.then_some(count + 1)
        })
    }
}

/// Asks every server for the lock; returns whether most have granted it in time.
async fn lock(process: &Process, token: u64) -> bool {
    let until = process.now() + LEASE;
    let mut granted = 0;
    for server in 0..SERVERS {
        granted += usize::from(lock_at(process, server, token).await == Ok(true));
    }
    granted > SERVERS / 2 && process.now() < until
}

async fn lock_at(process: &Process, server: usize, token: u64) -> RedisResult<bool> {
    let mut redis = process.connect(server).await?;
    let mut set = cmd("SET");
    let set = set.arg("lock").arg(token).arg("NX").arg("PX");
    let set = set.arg(LEASE.as_millis() as u64);
    let granted: Option<String> = set.query_async(&mut redis).await?;
    Ok(granted.is_some())
}

async fn release(process: &Process, token: u64) {
    for server in 0..SERVERS {
        let Ok(mut redis) = process.connect(server).await else {
            continue;
        };
        let mut release = cmd("EVAL");
        let release = release.arg(RELEASE).arg(1).arg("lock").arg(token);
        // If this fails, the lock lapses.
        let _: RedisResult<u64> = release.query_async(&mut redis).await;
    }
}

/// Reads the counter, works, and writes it: in a sixth of the time that the lock lasts.
async fn add(process: &Process) -> Result<u64, Failure> {
    let mut redis = process.connect(0).await.map_err(Failure::not_applied)?;
    let count: RedisResult<Option<u64>> = cmd("GET").arg("counter").query_async(&mut redis).await;
    let count = count.map_err(Failure::not_applied)?.unwrap_or(0) + 1;
    process.sleep(LEASE / 8).await;
    // Nothing says that the lock is still held, nor that this arrives before it lapses.
    let set = cmd("SET").arg("counter").arg(count).to_owned();
    let () = set.query_async(&mut redis).await?;
    Ok(count)
}

fn main() -> ExitCode {
    Args::from_command_line().run(RedlockCounter)
}
