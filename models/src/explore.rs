//! Runs a model over every schedule up to the bound, and says how many those
//! were. It must not know what is modelled.

use std::{
    io::Write,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Instant,
};

/// Preemptions that a schedule may hold: switches away from a thread that
/// could have gone on. Any number of switches at a wait come on top.
pub(crate) const PREEMPTIONS: usize = 3;

/// What one execution shows: `Err` says what was broken.
///
/// A model returns it rather than panicking, so that nothing of loom's is
/// alive when the exploration ends.
pub(crate) type Shown = Result<(), String>;

/// Fails unless the model holds in every schedule.
pub(crate) fn proves(name: &str, model: impl Fn() -> Shown + Send + Sync + 'static) {
    if let Err(panic) = explore(name, "holds", model) {
        std::panic::resume_unwind(panic);
    }
}

/// Fails unless some schedule breaks the model, with `complaint` in what it
/// says: `model` is one with a planted bug.
pub(crate) fn catches(
    name: &str,
    complaint: &str,
    model: impl Fn() -> Shown + Send + Sync + 'static,
) {
    let Err(panic) = explore(name, "not caught", model) else {
        assert!(name.is_empty(), "{name}: no schedule shows the planted bug");
        return;
    };
    let said = panic
        .downcast_ref::<String>()
        .map(String::as_str)
        .or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or_default();
    assert!(said.contains(complaint), "{name}: caught by {said:?}");
}

#[expect(
    clippy::disallowed_methods,
    reason = "how long an exploration takes is real time"
)]
fn explore(
    name: &str,
    passed: &str,
    model: impl Fn() -> Shown + Send + Sync + 'static,
) -> std::thread::Result<()> {
    let executions = Arc::new(AtomicUsize::new(0));
    let counted = executions.clone();
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(PREEMPTIONS);
    builder.max_branches = 10_000;
    let began = Instant::now();
    let ended = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            counted.fetch_add(1, Ordering::Relaxed);
            let shown = model();
            assert!(shown.is_ok(), "{shown:?}");
        });
    }));
    // Not `println`, which the test harness keeps to itself.
    let _ = writeln!(
        std::io::stdout(),
        "model {name}: {}, {} executions, {:.1} s",
        if ended.is_ok() { passed } else { "broken" },
        executions.load(Ordering::Relaxed),
        began.elapsed().as_secs_f64(),
    );
    ended
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
