//! Systems of one's own under the harness: the examples, and what the harness promises.

use haechi_sim::system::{Args, Harness, Schedule, System};

#[path = "../../examples/job_queue.rs"]
#[allow(dead_code, unreachable_pub)]
mod job_queue;
#[path = "../../examples/naive_lock.rs"]
#[allow(dead_code, unreachable_pub)]
mod naive_lock;
#[path = "../../examples/redlock_counter.rs"]
#[allow(dead_code, unreachable_pub)]
mod redlock_counter;

/// What the command line of an example prints, and its exit code.
fn told<S: System>(system: S, words: &[&str]) -> (String, u8) {
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

/// Would catch a lock without a fence that passes, a schedule with superfluous events, and a replay
/// of something else.
#[test]
fn a_naive_lock_fails_and_shrinks_to_a_pause_and_two_calls() {
    let (told, code) = told(naive_lock::NaiveLock, &["--seeds", "0..100"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("naive_lock", failure(&told));
    replays(naive_lock::NaiveLock, &told);
}

/// Would catch a lock over several servers that passes, or faults that reach the first server only.
#[test]
fn a_counter_behind_redlock_fails_and_shrinks() {
    let (told, code) = told(redlock_counter::RedlockCounter, &["--seeds", "0..200"]);
    assert_eq!(code, 1);
    insta::assert_snapshot!("redlock_counter", failure(&told));
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
