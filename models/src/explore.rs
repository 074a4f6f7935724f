//! Runs a model over every interleaving up to the bound, and prints how many
//! there were. It must not know what is modelled.

use std::{
    env,
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook},
    process::{Command, exit},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Names the model that a child process is to run.
const CHILD: &str = "HAECHI_MODEL";

/// What one execution shows: `Err` says what was broken.
///
/// A model returns it rather than panicking, so that nothing of loom's is
/// alive when the exploration ends.
pub(crate) type Shown = Result<(), String>;

/// Fails unless the model holds in every schedule with at most so many
/// preemptions: switches away from a thread that could have gone on. Any
/// number of switches at a wait come on top.
pub(crate) fn proves(
    name: &str,
    preemptions: usize,
    run: impl Fn() -> Shown + Send + Sync + 'static,
) {
    if let Err(panic) = explore(name, preemptions, &Arc::default(), run) {
        resume_unwind(panic);
    }
}

/// Fails unless some schedule breaks the model, with `complaint` in what it
/// says: it is one with a planted bug.
pub(crate) fn catches(
    name: &str,
    preemptions: usize,
    complaint: &str,
    run: impl Fn() -> Shown + Send + Sync + 'static,
) {
    let ended = explore(name, preemptions, &Arc::default(), run);
    assert!(ended.is_err(), "{name}: no schedule shows the planted bug");
    let said = ended
        .err()
        .and_then(|panic| panic.downcast::<String>().ok())
        .map_or_else(String::new, |said| *said);
    assert!(said.contains(complaint), "{name}: caught by {said:?}");
}

/// Fails unless some schedule of the model, one with a planted bug, comes to a
/// stand.
///
/// loom reports that in the middle of an execution, from which there is no
/// way back: the model runs in a process of its own, which runs the test that
/// calls this, `test`, and nothing else of it.
pub(crate) fn catches_standstill(
    test: &str,
    name: &str,
    preemptions: usize,
    run: impl Fn() -> Shown + Send + Sync + 'static,
) {
    let chosen = env::var(CHILD);
    if chosen.as_deref() == Ok(name) {
        let executions = Arc::new(AtomicUsize::new(0));
        let counted = executions.clone();
        set_hook(Box::new(move |panic| {
            say(&format!("after {counted:?} executions: {panic}"));
            exit(1);
        }));
        let _ = explore(name, preemptions, &executions, run);
        return;
    }
    if chosen.is_ok() {
        return;
    }
    let child = env::current_exe().and_then(|program| {
        Command::new(program)
            .args(["--exact", test])
            .env(CHILD, name)
            .output()
    });
    let said = child.map_or_else(
        |error| error.to_string(),
        |child| String::from_utf8_lossy(&child.stdout).into_owned(),
    );
    assert!(said.contains("deadlock"), "{name}: caught by {said:?}");
    let after = said
        .lines()
        .find_map(|line| line.strip_prefix("after ")?.split_once(':'))
        .map_or("", |(executions, _)| executions);
    say(&format!("model {name}: broken, {after}"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long an exploration takes is real time"
)]
fn explore(
    name: &str,
    preemptions: usize,
    executions: &Arc<AtomicUsize>,
    run: impl Fn() -> Shown + Send + Sync + 'static,
) -> std::thread::Result<()> {
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.max_branches = 10_000;
    let began = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let shown = run();
            assert!(shown.is_ok(), "{shown:?}");
        });
    }));
    say(&format!(
        "model {name}: {}, {executions:?} executions with at most {preemptions} preemptions, {:.1} s",
        if ended.is_ok() { "holds" } else { "broken" },
        began.elapsed().as_secs_f64(),
    ));
    ended
}

/// Prints a line, also of a test that passes.
fn say(line: &str) {
    let _ = writeln!(std::io::stdout(), "{line}");
}

/// `Err` with the message unless the condition holds.
macro_rules! show {
    ($condition:expr, $($message:tt)+) => {
        if !$condition {
            return Err(format!($($message)+));
        }
    };
}
pub(crate) use show;
