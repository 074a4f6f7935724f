//! `haechi-sim diff`: where two traces part.

use std::{
    io::{self, Read, Write},
    path::{Path, PathBuf},
};

use clap::Args;

use super::{Exit, report::print_event, source};
use crate::{
    mutants::Variant,
    record::parting,
    world::{self, Capture},
};

/// Shows the first event in which two traces differ in more than hashes and random ids
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Exits with 0 if the traces are the same, with 1 if they part. A schedule is replayed; any other \
file is taken for a trace, as replay prints it.

Examples: what a planted bug does that the correct store does not; two runs of one seed
  haechi-sim diff sim/corpus/no_fence.json sim/corpus/no_fence.json \\
    --with correct
  haechi-sim replay --seed 7 > a.txt
  haechi-sim replay --seed 7 > b.txt
  haechi-sim diff a.txt b.txt")]
pub struct DiffArgs {
    /// A trace or a schedule; - is standard input
    #[arg(value_name = "A")]
    pub a: PathBuf,
    /// Another
    #[arg(value_name = "B")]
    pub b: PathBuf,
    /// The store for B, rather than the one that its schedule names
    #[arg(long, value_name = "correct|VARIANT")]
    pub with: Option<Variant>,
    /// How many events to show around the first that differs
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub context: usize,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn diff(args: &DiffArgs) -> io::Result<Exit> {
    let (a, b) = match (trace(&args.a, None), trace(&args.b, args.with)) {
        (Ok(a), Ok(b)) => (a, b),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("error: {error}");
            return Ok(Exit::Error);
        }
    };
    let Some(parting) = parting(&a, &b) else {
        eprintln!("the same {} events", a.len());
        return Ok(Exit::Success);
    };
    let mut stdout = io::stdout().lock();
    let end = parting.saturating_add(args.context);
    for (event, line) in a
        .iter()
        .enumerate()
        .take(parting)
        .skip(parting.saturating_sub(args.context))
    {
        print_event(&mut stdout, &format!("  {:>5} {line}", event + 1))?;
    }
    for (sign, trace) in [('-', &a), ('+', &b)] {
        for (event, line) in trace.iter().enumerate().take(end).skip(parting) {
            print_event(&mut stdout, &format!("{sign} {:>5} {line}", event + 1))?;
        }
    }
    stdout.flush()?;
    let before = a.iter().zip(&b).take(parting);
    let first = before.enumerate().find(|(_, (a, b))| a != b);
    if let Some((event, _)) = first {
        eprintln!("event {} differs in hashes or random ids only", event + 1);
    }
    eprintln!(
        "they part at event {}; there are {} and {}",
        parting + 1,
        a.len(),
        b.len()
    );
    Ok(Exit::Violation)
}

/// The lines of a trace, or of the trace of a schedule.
fn trace(path: &Path, with: Option<Variant>) -> Result<Vec<String>, String> {
    let at = path.display();
    let text = if path == Path::new("-") {
        let mut text = String::new();
        io::stdin().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(path)
    };
    let text = text.map_err(|error| format!("{at} cannot be read: {error}"))?;
    if !text.starts_with('{') {
        if with.is_some() {
            return Err(format!("--with needs a schedule, and {at} is a trace"));
        }
        return Ok(text.lines().map(str::to_owned).collect());
    }
    let (document, store) = source::read(&text).map_err(|error| format!("{at}: {error}"))?;
    let capture = Capture {
        trace: true,
        ..Capture::default()
    };
    let store = with.unwrap_or(store);
    Ok(world::carry_out(&document.schedule, store, capture).trace)
}
