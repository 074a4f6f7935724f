//! Runs a model over every interleaving up to the bound, and prints their
//! number.

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

/// Names the model that a child process has to run.
const CHILD: &str = "HAECHI_MODEL";

/// The result of one execution; `Err` contains the violation.
///
/// A model returns it instead of panicking, so that no object of loom's is
/// alive when the exploration ends.
pub(crate) type Shown = Result<(), String>;

/// Fails unless the model holds in every schedule with at most so many
/// preemptions: switches away from a thread that could continue. Switches at a
/// wait are not counted.
pub(crate) fn proves(
    name: &str,
    preemptions: usize,
    run: impl Fn() -> Shown + Send + Sync + 'static,
) {
    if let Err(panic) = explore(name, preemptions, &Arc::default(), run) {
        resume_unwind(panic);
    }
}

/// Fails unless some schedule breaks the model, which has a planted bug, with
/// `complaint` in the message.
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

/// Fails unless some schedule of the model, which has a planted bug, deadlocks.
///
/// loom reports that within an execution and cannot continue: the model runs in
/// a process of its own, which runs only the calling test, `test`.
pub(crate) fn catches_deadlock(
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
            print_line(&format!("after {counted:?} executions: {panic}"));
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
    print_line(&format!("model {name}: broken, {after}"));
}

#[expect(
    clippy::disallowed_methods,
    reason = "measures the real time of an exploration"
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
    print_line(&format!(
        "model {name}: {}, {executions:?} executions with at most {preemptions} preemptions, {:.1} s",
        if ended.is_ok() { "holds" } else { "broken" },
        began.elapsed().as_secs_f64(),
    ));
    ended
}

/// Prints a line, even if the test passes.
fn print_line(line: &str) {
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
