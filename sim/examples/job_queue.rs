//! A job queue with at-least-once delivery. A worker takes a job with a lease; a job whose worker
//! does not say within its lease that it is done is given to another one. The checker is one of its
//! own: a job that was pushed must be waiting, leased, or done, whatever fails; it may be done twice.
//!
//! With `--removed-first` a worker removes the job when it takes it: jobs are lost.
//!
//! ```console
//! $ cargo run --release -p haechi-sim --example job_queue
//! $ cargo run --release -p haechi-sim --example job_queue -- --removed-first --report queue.html
//! ```

use std::{process::ExitCode, time::Duration};

use clap::Parser;
use haechi_sim::system::{
    Args, CheckError, Failure, Process, Random, Reply, Run, Setup, System, Violation,
};
use redis::cmd;

/// Gives jobs back whose lease (ARGV[1], in milliseconds) is over, then takes one.
const TAKE: &str = "
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local late = redis.call('ZRANGEBYSCORE', 'leased', '-inf', now)
for _, job in ipairs(late) do
  redis.call('ZREM', 'leased', job)
  redis.call('RPUSH', 'waiting', job)
end
local job = redis.call('LPOP', 'waiting')
if job and ARGV[1] ~= '' then redis.call('ZADD', 'leased', now + ARGV[1], job) end
return {job, #late}";

/// The system under test.
pub struct JobQueue {
    /// The planted bug: a job is removed when it is taken, rather than when it is done.
    pub removed_first: bool,
}

/// What a process is asked to do.
#[derive(Clone, Debug)]
pub enum Operation {
    /// Push a job of this number.
    Push(u64),
    /// Take a job, and carry it out.
    Work,
}

impl System for JobQueue {
    type Operation = Operation;
    /// The job that was pushed or done; `None` if none was waiting.
    type Answer = Option<u64>;
    type Client = Process;

    fn setup(&self) -> Setup {
        Setup {
            operations: 4..=16,
            ..Setup::default()
        }
    }

    fn draw(&self, random: &mut Random) -> Operation {
        match random.one_in(2) {
            true => Operation::Push(random.number() >> 32),
            false => Operation::Work,
        }
    }

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, process: &mut Process, asked: Operation) -> Result<Option<u64>, Failure> {
        let mut redis = process.connect(0).await.map_err(Failure::not_applied)?;
        if let Operation::Push(job) = asked {
            let push = cmd("RPUSH").arg("waiting").arg(job).to_owned();
            let () = push.query_async(&mut redis).await?;
            return Ok(Some(job));
        }
        let lease = if self.removed_first { "" } else { "300" };
        let take = cmd("EVAL").arg(TAKE).arg(0).arg(lease).to_owned();
        let (job, late): (Option<u64>, u64) = take.query_async(&mut redis).await?;
        if late > 0 {
            process.mark("lease_was_over");
        }
        let Some(job) = job else { return Ok(None) };
        // The work, which ends with an effect.
        process.sleep(Duration::from_millis(30)).await;
        let effect = cmd("SADD").arg("done").arg(job).to_owned();
        let is_first: u64 = effect.query_async(&mut redis).await?;
        if is_first == 0 {
            process.mark("done_twice");
        }
        let done = cmd("ZREM").arg("leased").arg(job).to_owned();
        let () = done.query_async(&mut redis).await?;
        Ok(Some(job))
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        let found = [
            run.command(0, &["LRANGE", "waiting", "0", "-1"]),
            run.command(0, &["ZRANGE", "leased", "0", "-1"]),
            run.command(0, &["SMEMBERS", "done"]),
        ];
        let has = |job: u64| {
            let job = Reply::text(job.to_string());
            let mut found = found.iter();
            found.any(|list| matches!(list, Reply::Array(jobs) if jobs.contains(&job)))
        };
        let lost = run.calls.iter().filter_map(|call| {
            let job = call.answer().copied().flatten()?;
            let reason = format!("job {job} is neither waiting, nor leased, nor done");
            let is_push = matches!(call.operation, Operation::Push(_));
            (is_push && !has(job)).then(|| Violation::new("lost_job", vec![call.id], reason))
        });
        Ok(lost.collect())
    }
}

/// The example's own flag, and those of the harness.
#[derive(Parser)]
struct Program {
    /// Plant the bug
    #[arg(long)]
    removed_first: bool,
    #[command(flatten)]
    harness: Args,
}

fn main() -> ExitCode {
    let Program {
        removed_first,
        harness,
    } = Program::parse();
    harness.run(JobQueue { removed_first })
}
