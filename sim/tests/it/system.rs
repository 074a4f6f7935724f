//! Systems of one's own under the harness: the examples, and what the harness promises.

use haechi_sim::system::{Args, Harness, Schedule, System};

#[path = "../../examples/naive_lock.rs"]
#[allow(dead_code, unreachable_pub)]
mod naive_lock;

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
}
