//! `haechi-sim shrink`: the smallest schedule that still fails.

use std::{
    fs::File,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;

use super::{
    Exit, WorldArgs,
    report::{explain, print_wrapped},
    source::Source,
};
use crate::{
    plan::{Document, Schedule},
    record::Verdict,
    shrink::shrink as search,
    world::{self, Capture},
};

/// Cuts a failing seed down to the smallest schedule that still fails
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: what is left of a seed that catches a planted bug, and what happens in it
  haechi-sim shrink --seed 0 --store no_fence --workload audit --out s.json
  haechi-sim replay s.json")]
pub struct ShrinkArgs {
    /// What to shrink
    #[command(flatten)]
    pub source: Source,
    /// What the worlds are made of
    #[command(flatten)]
    pub world: WorldArgs,
    /// Worlds to run at most
    #[arg(long, value_name = "N", default_value_t = 3000)]
    pub budget: u64,
    /// Where to write the schedule, rather than to standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn shrink(args: &ShrinkArgs) -> io::Result<Exit> {
    let (document, store) = match args.source.document(&args.world) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Error);
        }
    };
    let report = world::carry_out(&document.schedule, store, Capture::default());
    if report.run.verdict() == Verdict::HarnessError {
        eprintln!("error: the harness itself failed, so there is nothing to shrink");
        explain(&mut io::stderr(), &report.run)?;
        return Ok(Exit::Error);
    }
    let wanted = document.violates;
    let found = report.run.violations.iter().map(|found| found.invariant);
    let Some(invariant) = found
        .clone()
        .find(|found| Some(*found) == wanted)
        .or(found.clone().next())
    else {
        eprintln!("nothing to shrink: {store} violates nothing here (run finds seeds that fail)");
        return Ok(Exit::Success);
    };
    let mut stderr = io::stderr();
    let found = format!(
        "{store} violates {}, with {}",
        invariant.name(),
        parts(&document.schedule)
    );
    print_wrapped(&mut stderr, 0, &found)?;
    // Before the search, which takes a while.
    let out = match args.out.as_ref().map(File::create).transpose() {
        Ok(out) => out,
        Err(error) => {
            eprintln!("error: the schedule cannot be written: {error}; check --out");
            return Ok(Exit::Error);
        }
    };
    let mut on_step = |step: &str, left: &Schedule, runs: u64| {
        // After a number of worlds, and a step, of fixed width.
        let line = format!("{runs:>6} worlds, {step:<10} {}", parts(left));
        // What cannot be printed does not end the search.
        let _ = print_wrapped(&mut io::stderr(), 0, &line);
    };
    let shrunk = search(
        document.schedule,
        store,
        invariant,
        args.budget,
        &mut on_step,
    );
    if shrunk.is_exhausted {
        eprintln!(
            "stopped after {} worlds; a larger --budget may leave less",
            shrunk.runs
        );
    }
    let left = Document {
        store: store.name().to_owned(),
        violates: Some(invariant),
        schedule: shrunk.schedule,
    };
    let text = left.to_text().map_err(io::Error::other)?;
    let name = match (&args.out, out) {
        (Some(path), Some(mut out)) => {
            out.write_all(text.as_bytes())?;
            path.display().to_string()
        }
        _ => {
            io::stdout().lock().write_all(text.as_bytes())?;
            "FILE (what is on standard output)".to_owned()
        }
    };
    let summary = format!(
        "left after {} worlds: {}",
        shrunk.runs,
        parts(&left.schedule)
    );
    print_wrapped(&mut stderr, 0, &summary)?;
    eprintln!("to see it: haechi-sim replay {name}");
    Ok(Exit::Violation)
}

/// The sizes of a schedule, as text.
fn parts(schedule: &Schedule) -> String {
    let knobs = &schedule.knobs;
    let mut parts = format!(
        "{} events: {} faults, {} operations of {} processes",
        schedule.events(),
        knobs.faults.len(),
        schedule.operation_count(),
        knobs.processes(),
    );
    if knobs.settles {
        parts += ", and one each at the end";
    }
    parts
}
