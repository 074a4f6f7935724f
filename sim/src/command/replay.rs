//! `haechi-sim replay`: everything that happened in one world.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::{
    Exit, WorldArgs,
    run::{tell_violations, violations},
};
use crate::{history, runner::run_seed};

/// Runs one seed again and prints everything that happened in it
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: what the replicas asked and were told, as a history that check reads
  haechi-sim replay --seed 42 --history > h.jsonl")]
pub struct ReplayArgs {
    /// The seed
    #[arg(long, value_name = "N")]
    pub seed: u64,
    /// What the worlds are made of
    #[command(flatten)]
    pub world: WorldArgs,
    /// Print the history instead of the trace
    #[arg(long)]
    pub history: bool,
    /// Print the verdict as a JSON line too
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn replay(args: &ReplayArgs) -> io::Result<Exit> {
    let mut options = args.world.options();
    options.keep_trace = true;
    let report = run_seed(args.seed, &options, args.world.store);
    let mut stdout = io::stdout().lock();
    if args.history {
        history::write(&report.world.history, &mut stdout)?;
    } else {
        write!(stdout, "{}", report.world.config)?;
        for line in &report.world.trace {
            writeln!(stdout, "{line}")?;
        }
    }
    let verdict = if report.is_ok() { "ok" } else { "violation" };
    if args.json {
        let line = json!({
            "seed": args.seed,
            "verdict": verdict,
            "violations": violations(&report),
            "traceHash": format!("{:016x}", report.world.trace_hash),
        });
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()?;
    eprintln!("{verdict}, trace {:016x}", report.world.trace_hash);
    tell_violations(&report);
    Ok(if report.is_ok() { Exit::Fine } else { Exit::No })
}
