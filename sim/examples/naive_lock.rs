//! A counter behind a naive Redis lock (`SET NX PX`, no fence): whoever holds the lock reads the
//! counter, works, and writes it. A holder that is paused for longer than the lock lasts, or whose
//! write arrives late, overwrites what another one has written meanwhile.
//!
//! ```console
//! $ cargo run --release -p haechi-sim --example naive_lock -- --report naive_lock.html
//! ```

use std::{process::ExitCode, time::Duration};

use haechi_sim::system::{
    Args, CheckError, Connection, Failure, FaultClass, Process, Random, Run, Setup, System,
    Violation,
};
use redis::{RedisResult, cmd};

/// How long the lock lasts.
const LEASE: Duration = Duration::from_millis(300);
/// Deletes the lock if it is still that of the caller.
const RELEASE: &str =
    "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0";

/// The system under test.
pub struct NaiveLock;

/// Adds 1 to the counter, and answers what it is then.
#[derive(Clone, Debug)]
pub struct Add;

impl System for NaiveLock {
    type Operation = Add;
    type Answer = u64;
    type Client = Process;

    fn setup(&self) -> Setup {
        let classes = [FaultClass::Network, FaultClass::Replica];
        Setup {
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
        // Whatever fails before the counter is written, the counter is not.
        let mut redis = process.connect(0).await.map_err(Failure::not_applied)?;
        let token = process.random();
        let locked = lock(process, &mut redis, token).await;
        if !locked.map_err(Failure::not_applied)? {
            process.mark("lock_not_granted");
            return Err(Failure::not_applied("the lock is held"));
        }
        let written = add(process, &mut redis).await;
        // If this fails, the lock lapses.
        let mut release = cmd("EVAL");
        let release = release.arg(RELEASE).arg(1).arg("lock").arg(token);
        let released: RedisResult<u64> = release.query_async(&mut redis).await;
        if released == Ok(0) {
            process.mark("lock_lost_before_its_release");
        }
        written
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        run.linearizable(0, |count, _, answer| {
            let fits = answer.is_none_or(|answer| *answer == count + 1);
            fits.then_some(count + 1)
        })
    }
}

/// Takes the lock, if it is free within a second.
async fn lock(process: &Process, redis: &mut Connection, token: u64) -> RedisResult<bool> {
    for _ in 0..20 {
        let mut set = cmd("SET");
        let set = set.arg("lock").arg(token).arg("NX");
        let lease = LEASE.as_millis() as u64;
        let set: Option<String> = set.arg("PX").arg(lease).query_async(redis).await?;
        if set.is_some() {
            return Ok(true);
        }
        process.mark("waited_for_the_lock");
        process.sleep(Duration::from_millis(50)).await;
    }
    Ok(false)
}

/// Reads the counter, works, and writes it.
async fn add(process: &Process, redis: &mut Connection) -> Result<u64, Failure> {
    let count: RedisResult<Option<u64>> = cmd("GET").arg("counter").query_async(redis).await;
    let count = count.map_err(Failure::not_applied)?.unwrap_or(0) + 1;
    process.sleep(Duration::from_millis(100)).await;
    // An error of this does not say whether it ran: unknown.
    let () = cmd("SET")
        .arg("counter")
        .arg(count)
        .query_async(redis)
        .await?;
    Ok(count)
}

fn main() -> ExitCode {
    Args::from_command_line().run(NaiveLock)
}
