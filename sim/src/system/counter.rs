use haechi_sim::system::{CheckError, Failure, Harness, Process, Random, Run, System, Violation};

/// A counter that is read and then written: two processes can read the same number.
struct Counter;

#[derive(Clone, Debug)]
struct Add;

impl System for Counter {
    type Operation = Add;
    type Answer = u64;
    type Client = Process;

    fn draw(&self, _: &mut Random) -> Add {
        Add
    }

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, process: &mut Process, _: Add) -> Result<u64, Failure> {
        let mut redis = process.connect(0).await?;
        let get = redis::cmd("GET").arg("counter").query_async(&mut redis).await;
        let count: Option<u64> = get.map_err(Failure::not_applied)?;
        let next = count.unwrap_or(0) + 1;
        // An error from here on does not say whether it ran: it becomes `Failure::Unknown`.
        let () = redis::cmd("SET").arg("counter").arg(next).query_async(&mut redis).await?;
        Ok(next)
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        // Each answers one more than the one before it, in some order that fits their times.
        run.linearizable(0, |count, _, answer| {
            answer.is_none_or(|answer| *answer == count + 1).then_some(count + 1)
        })
    }
}

fn main() {
    let harness = Harness::new(Counter);
    let summary = harness.search(0..100, |report| report.violations.is_empty());
    let seed = summary.failed[0];

    let smallest = harness.shrink(&harness.schedule(seed), "not_linearizable", 1000);
    println!("{}", smallest.schedule); // two calls of two processes, at about the same time
    assert!(smallest.schedule.events.len() <= 3);
}
