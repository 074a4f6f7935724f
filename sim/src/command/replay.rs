//! `haechi-sim replay`: the trace of one world.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::json;

use super::{Exit, WorldArgs, report, source::Source};
use crate::{
    html::{self, Heading, View},
    mutants::Variant,
    plan::Schedule,
    world::{self, Capture, WorldReport},
};

/// Runs one world again and prints everything that happened in it
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Examples: what the replicas asked and were told, as a history that check reads; the state
after the 40th event of a schedule that shrink wrote
  haechi-sim replay --seed 42 --history > h.jsonl
  haechi-sim replay s.json --until 40
A timeline to look at in a browser; of a planted bug, with the correct store beside it
  haechi-sim replay sim/corpus/no_fence.json --report page.html")]
pub struct ReplayArgs {
    /// What to replay
    #[command(flatten)]
    pub source: Source,
    /// What the worlds are made of; a schedule says so itself
    #[command(flatten)]
    pub world: WorldArgs,
    /// The store to use rather than the one that the schedule names
    #[arg(long, value_name = "correct|VARIANT", conflicts_with = "seed")]
    pub with: Option<Variant>,
    /// Stop at this event of the trace, the first being 1, and print the state:
    /// keys, locks, and what each process was told
    #[arg(long, value_name = "EVENT", value_parser = clap::value_parser!(u64).range(1..))]
    pub until: Option<u64>,
    /// Print the history instead of the trace
    #[arg(long)]
    pub history: bool,
    /// Write a page with the timeline, for a browser, instead of the trace; of a planted bug,
    /// with the correct store under the same schedule, and where their traces part
    #[arg(long, value_name = "FILE", conflicts_with_all = ["until", "history"])]
    pub report: Option<PathBuf>,
    /// Print the verdict as a JSON line too; with --history on standard error
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn replay(args: &ReplayArgs) -> io::Result<Exit> {
    let (document, store) = match args.source.document(&args.world) {
        Ok(source) => source,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Exit::Error);
        }
    };
    let capture = Capture {
        trace: true,
        state_after: args.until,
    };
    let store = args.with.unwrap_or(store);
    let world = world::carry_out(&document.schedule, store, capture);
    let run = &world.run;
    let mut stdout = io::stdout().lock();
    if let Some(event) = args.until {
        let Some(state) = &world.observed else {
            eprintln!(
                "error: there is no event {event}; the trace has {}",
                world.trace.len()
            );
            return Ok(Exit::Error);
        };
        let shown = usize::try_from(event).unwrap_or(usize::MAX);
        for (number, line) in world.trace.iter().enumerate().take(shown) {
            report::print_event(&mut stdout, &format!("{:>5} {line}", number + 1))?;
        }
        write!(stdout, "{state}")?;
        stdout.flush()?;
        return Ok(Exit::Success);
    }
    if args.history {
        haechi_history::write(&run.history, &mut stdout)?;
    } else if let Some(path) = &args.report {
        let page = page(args, &document.schedule, store, &world);
        if let Err(error) = fs::write(path, page) {
            eprintln!("error: {} cannot be written: {error}", path.display());
            return Ok(Exit::Error);
        }
    } else {
        if args.source.schedule.is_none() {
            write!(stdout, "{}", world.knobs)?;
        }
        for line in &world.trace {
            report::print_event(&mut stdout, line)?;
        }
    }
    if args.json {
        let mut line = report::value(run);
        line.insert("store".into(), json!(store.name()));
        let hash = format!("{:016x}", world.trace_hash);
        line.insert("traceHash".into(), json!(hash));
        let line = serde_json::Value::from(line);
        // A history is read by check, which knows no such line.
        match args.history {
            true => eprintln!("{line}"),
            false => writeln!(stdout, "{line}")?,
        }
    }
    stdout.flush()?;
    eprintln!("{}, trace {:016x}", run.verdict(), world.trace_hash);
    report::explain(&mut io::stderr(), run)?;
    Ok(run.verdict().into())
}

/// The timeline of a world; of a planted bug, with that of the correct store.
fn page(args: &ReplayArgs, schedule: &Schedule, store: Variant, world: &WorldReport) -> String {
    let (what, words) = match &args.source.schedule {
        Some(path) => {
            let name = path
                .file_name()
                .unwrap_or(path.as_os_str())
                .to_string_lossy();
            let with = args
                .with
                .map_or(String::new(), |with| format!(" --with {with}"));
            (name.into_owned(), format!("{}{with}", path.display()))
        }
        None => {
            let seed = world.run.seed;
            (
                format!("seed {seed}"),
                format!("--seed {seed}{}", args.world.words()),
            )
        }
    };
    let heading = Heading {
        title: format!("haechi-sim: {what}, store {store}"),
        command: format!("haechi-sim replay {words}"),
    };
    let name = format!("store {store}");
    let view = View::of_world(&name, world);
    if store == Variant::Correct {
        return html::timeline(&heading, &[view]);
    }
    let capture = Capture {
        trace: true,
        ..Capture::default()
    };
    let correct = world::carry_out(schedule, Variant::Correct, capture);
    let beside = View::of_world("store correct, under the same schedule", &correct);
    html::timeline(&heading, &[view, beside])
}
