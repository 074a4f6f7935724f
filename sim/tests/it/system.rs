//! Systems of one's own under the harness: the examples, and what the harness promises.

use std::sync::atomic::{AtomicUsize, Ordering};

use haechi_sim::plan::ProcessFault;
use haechi_sim::system::{
    Args, CheckError, Failure, FaultClass, Harness, Process, Random, Run, Schedule, Setup, System,
    Violation,
};

use crate::documents::document;

#[path = "../../examples/job_queue.rs"]
#[allow(dead_code, unreachable_pub)]
mod job_queue;
#[path = "../../examples/naive_lock.rs"]
#[allow(dead_code, unreachable_pub)]
pub(super) mod naive_lock;
#[path = "../../examples/redlock_counter.rs"]
#[allow(dead_code, unreachable_pub)]
mod redlock_counter;

/// What the command line of an example prints, and its exit code.
pub(super) fn told<S: System>(system: S, words: &[&str]) -> (String, u8) {
    let words = [&["example"], words].concat();
    let args = <Args as clap::Parser>::parse_from(words);
    let mut out = Vec::new();
    let code = args.run_to(system, "example", &mut out).unwrap();
    (String::from_utf8(out).unwrap(), code)
}

/// From the seed that fails on: without the counts, which change with every fault that is new.
fn failure(told: &str) -> &str {
    &told[told.find("\nseed ").unwrap() + 1..]
}

/// Would catch faults that are not those of the command line, and seeds that are not run, or not
/// counted, after one that fails.
#[test]
fn faults_and_going_on_follow_from_the_command_line() {
    let (quiet, code) = told(
        naive_lock::NaiveLock,
        &["--seeds", "0..60", "--faults", "none"],
    );
    assert_eq!(code, 0, "{quiet}");
    assert!(quiet.contains("faults that struck: none\n"), "{quiet}");
    let words = ["--seeds", "0..60", "--faults", "pause", "--keep-going"];
    let (paused, code) = told(naive_lock::NaiveLock, &words);
    assert_eq!(code, 1, "{paused}");
    let struck = paused
        .lines()
        .find(|line| line.starts_with("faults that struck"));
    let struck = struck.unwrap().strip_prefix("faults that struck: pause ");
    assert!(struck.is_some_and(|count| !count.contains(',')), "{paused}");
    assert!(paused.starts_with("60 runs, "), "{paused}");
    let harness = Harness::new(naive_lock::NaiveLock).with_faults(vec![ProcessFault::Pause.into()]);
    let mut failing = Vec::new();
    let _ = harness.search(0..60, |report| {
        failing.extend((!report.violations.is_empty()).then_some(report.seed));
        true
    });
    let line = format!(
        "not_linearizable: {} of the runs, first seed {}\n",
        failing.len(),
        failing[0]
    );
    assert!(paused.contains(&line), "{line} is not in {paused}");
    assert!(failing.len() > 1);
    let (stopped, _) = told(naive_lock::NaiveLock, &words[..4]);
    let runs = format!("{} runs, ", failing[0] + 1);
    assert!(stopped.starts_with(&runs), "{stopped}");
    let first = format!("\nseed {} fails: ", failing[0]);
    assert!(paused.contains(&first), "{first} is not in {paused}");
    replays(naive_lock::NaiveLock, &paused);
    let args = <Args as clap::Parser>::parse_from(["example", "--faults", "anchor_medium_full"]);
    let refused = args.run_to(naive_lock::NaiveLock, "example", &mut Vec::new());
    assert!(refused.is_err());
}

/// Runs what the last line says, and expects the same violation.
fn replays<S: System>(system: S, told: &str) {
    let line = told.lines().last().unwrap();
    let words = line.strip_prefix("to replay it: example ").unwrap();
    let words: Vec<_> = words.split(' ').collect();
    let (again, code) = self::told(system, &words);
    assert_eq!(code, 1, "{again}");
    let violation = again
        .lines()
        .rfind(|line| line.starts_with("not_") || line.starts_with("lost_"));
    assert!(told.contains(violation.unwrap()), "{again}");
}

/// Compares the block of docs/own-system.md with what an example prints, with `words` on its
/// command line.
fn is_quoted(example: &str, words: &str, told: &str) {
    let page = document("docs/own-system.md");
    let (_, rest) = page
        .split_once(&format!("<!-- {example}:begin -->\n"))
        .unwrap();
    let (block, _) = rest.split_once(&format!("<!-- {example}:end -->")).unwrap();
    let run = format!("cargo run --release -p haechi-sim --example {example} -- {words}--seed");
    let told = failure(told).replace("example --seed", &run);
    assert_eq!(
        block,
        format!("```text\n{told}```\n"),
        "the block of {example} should be:\n{told}"
    );
}

/// Would catch a lock without a fence that passes, a schedule with superfluous events, a replay
/// of something else, and a page that shows another output.
#[test]
fn a_naive_lock_fails_and_shrinks_to_a_pause_and_two_calls() {
    let (told, code) = told(naive_lock::NaiveLock, &["--seeds", "0..100"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("naive_lock", failure(&told));
    is_quoted("naive_lock", "", &told);
    replays(naive_lock::NaiveLock, &told);
}

/// Would catch a lock over several servers that passes, or faults that reach the first server only.
#[test]
fn a_counter_behind_redlock_fails_and_shrinks() {
    let (told, code) = told(redlock_counter::RedlockCounter, &["--seeds", "0..200"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("redlock_counter", failure(&told));
    is_quoted("redlock_counter", "", &told);
    replays(redlock_counter::RedlockCounter, &told);
}

/// Would catch a harness that accuses a correct system.
#[test]
fn a_queue_that_leases_its_jobs_loses_none() {
    let queue = job_queue::JobQueue {
        removed_first: false,
    };
    let (told, code) = told(queue, &["--seeds", "0..200"]);
    assert_eq!(code, 0, "{told}");
    // The checker has had something to find.
    assert!(
        told.contains("done_twice") && told.contains("lease_was_over"),
        "{told}"
    );
}

/// Would catch a checker that looks at nothing.
#[test]
fn a_queue_that_removes_jobs_first_loses_one() {
    let queue = || job_queue::JobQueue {
        removed_first: true,
    };
    let (told, code) = told(queue(), &["--seeds", "0..20"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("job_queue", failure(&told));
    is_quoted("job_queue", "--removed-first ", &told);
    replays(queue(), &told);
}

fn hashes<S: System>(system: S, seeds: u64) {
    let harness = Harness::new(system);
    for seed in 0..seeds {
        let run = || {
            let schedule: Schedule<_> = harness.schedule(seed);
            harness.run(&schedule)
        };
        let (one, other) = (run(), run());
        assert_eq!(one.trace, other.trace, "seed {seed}");
        assert_eq!(one.trace_hash, other.trace_hash);
    }
}

/// Would catch time, randomness or an order that does not follow from the seed.
#[test]
fn one_seed_gives_one_trace() {
    hashes(naive_lock::NaiveLock, 20);
    hashes(redlock_counter::RedlockCounter, 20);
    let removed_first = false;
    hashes(job_queue::JobQueue { removed_first }, 20);
}

/// A counter that Redis counts, on the last of two servers.
struct Incr {
    /// Panics at this count.
    limit: u64,
    losses: bool,
}

impl System for Incr {
    type Operation = ();
    type Answer = u64;
    type Client = Process;

    fn setup(&self) -> Setup {
        let mut setup = Setup {
            servers: 2,
            ..Setup::default()
        };
        if self.losses {
            setup.faults.extend(FaultClass::DataLoss.kinds());
        }
        setup
    }

    fn draw(&self, _: &mut Random) {}

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, process: &mut Process, (): ()) -> Result<u64, Failure> {
        let mut redis = process.connect(1).await.map_err(Failure::not_applied)?;
        let incr = redis::cmd("INCR").arg("counter").to_owned();
        let count: u64 = incr.query_async(&mut redis).await?;
        assert!(count < self.limit, "{count} is too many");
        Ok(count)
    }

    fn check(&self, run: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        run.linearizable(0, |count, (), answer| {
            let fits = answer.is_none_or(|answer| *answer == count + 1);
            fits.then_some(count + 1)
        })
    }
}

/// Would catch a model that takes lost replies and late commands for violations, and a fault that
/// nothing carries out.
#[test]
fn what_redis_counts_is_never_accused_and_every_fault_strikes() {
    let harness = Harness::new(Incr {
        limit: u64::MAX,
        losses: false,
    });
    let summary = harness.search(0..300, |report| {
        assert_eq!(report.violations, [], "seed {}", report.seed);
        assert_eq!(report.error, None, "seed {}", report.seed);
        true
    });
    assert_eq!(summary.never, []);
    let outcomes = summary.outcomes;
    assert!(outcomes.ok > 0 && outcomes.fail > 0 && outcomes.unknown > 0);
}

/// Would catch faults that are said to lose data, and do not.
#[test]
fn lost_data_is_found() {
    let harness = Harness::new(Incr {
        limit: u64::MAX,
        losses: true,
    });
    let summary = harness.search(0..300, |_| true);
    assert_eq!(summary.never, []);
    assert!(!summary.failed.is_empty());
    let seed = summary.failed[0];
    let left = harness.shrink(&harness.schedule(seed), "not_linearizable", 2000);
    let faults = left.schedule.events.iter().filter(|event| event.is_fault());
    assert_eq!(faults.count(), 1, "{}", left.schedule);
}

/// Would catch a panic of a system that ends the search, without its seed.
#[test]
fn a_panic_is_a_violation() {
    let harness = Harness::new(Incr {
        limit: 3,
        losses: false,
    });
    let summary = harness.search(0..20, |report| report.violations.is_empty());
    let seed = summary.failed[0];
    let report = harness.run(&harness.schedule(seed));
    assert_eq!(report.violations[0].to_string(), "panicked: 3 is too many");
    let left = harness.shrink(&harness.schedule(seed), "panicked", 1000);
    assert_eq!(left.schedule.events.len(), 3, "{}", left.schedule);
}

/// Answers what no seed decides.
struct Ambient;

impl System for Ambient {
    type Operation = ();
    type Answer = usize;
    type Client = Process;

    fn draw(&self, _: &mut Random) {}

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, _: &mut Process, (): ()) -> Result<usize, Failure> {
        static ANSWERS: AtomicUsize = AtomicUsize::new(0);
        Ok(ANSWERS.fetch_add(1, Ordering::Relaxed))
    }

    fn check(&self, _: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        Ok(Vec::new())
    }
}

/// Would catch a comparison of a run with itself.
#[test]
fn what_does_not_follow_from_the_seed_is_told() {
    let mut found = Vec::new();
    let summary = Harness::new(Ambient).search(0..2, |report| {
        found.extend(report.violations.iter().map(|found| found.name.clone()));
        true
    });
    assert_eq!(
        (found, summary.failed),
        (vec!["nondeterminism".to_owned()], vec![0])
    );
}

/// A lock that waits for ever.
struct Stuck;

impl System for Stuck {
    type Operation = ();
    type Answer = ();
    type Client = Process;

    fn draw(&self, _: &mut Random) {}

    async fn start(&self, process: Process) -> Process {
        process
    }

    async fn act(&self, _: &mut Process, (): ()) -> Result<(), Failure> {
        std::future::pending().await
    }

    fn check(&self, _: &Run<Self>) -> Result<Vec<Violation>, CheckError> {
        Ok(Vec::new())
    }
}

/// Would catch a run that never ends, and one that ends without a word.
#[test]
fn what_never_ends_is_told() {
    let harness = Harness::new(Stuck);
    let report = harness.run(&harness.schedule(0));
    assert_eq!(report.violations[0].name, "no_progress");
    assert!(!report.violations[0].calls.is_empty());
}

/// Would catch a walkthrough whose snippets are not those of the examples.
#[test]
fn the_walkthrough_quotes_the_examples() {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/../");
    let page = document("docs/own-system.md");
    let mut quoted = 0;
    for part in page.split("<!-- sim/examples/").skip(1) {
        let (file, rest) = part.split_once(" -->\n```rust\n").unwrap();
        let (snippet, _) = rest.split_once("```").unwrap();
        let source = std::fs::read_to_string(format!("{root}sim/examples/{file}")).unwrap();
        assert!(
            source.contains(snippet),
            "{file} does not contain:\n{snippet}"
        );
        quoted += 1;
    }
    assert!(quoted >= 6, "{quoted}");
}
