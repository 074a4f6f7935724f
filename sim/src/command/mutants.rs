//! `haechi-sim mutants`: whether every planted bug is caught.

use std::io::{self, Write};

use clap::Args;
use serde_json::json;

use super::Exit;
use crate::{mutants::Variant, runner::run_seeds};

/// Runs every planted bug until a seed catches it
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example: give each planted bug at most 200 seeds
  haechi-sim mutants --budget 200")]
pub struct MutantsArgs {
    /// Seeds to try before a bug counts as having survived
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub budget: u64,
    /// The first seed
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub from: u64,
    /// Worlds at a time [default: one a core]
    #[arg(long, value_name = "J")]
    pub jobs: Option<usize>,
    /// Print the summary as a JSON line too
    #[arg(long)]
    pub json: bool,
}

/// Runs the command.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn mutants(args: &MutantsArgs) -> io::Result<Exit> {
    let jobs = args
        .jobs
        .or_else(|| std::thread::available_parallelism().ok().map(usize::from))
        .unwrap_or(1);
    let mut survivors = Vec::new();
    let mut stdout = io::stdout().lock();
    for variant in Variant::planted() {
        let seeds = args.from..args.from.saturating_add(args.budget);
        let mut tried = 0_u64;
        let mut caught = None;
        let options = variant.options();
        let workload = options.workload.name();
        run_seeds(seeds, jobs, 0, &options, variant, |report| {
            tried += 1;
            caught = report
                .world
                .violations
                .first()
                .map(|violation| violation.invariant.name());
            caught.is_none()
        });
        let line = json!({
            "variant": variant.name(),
            "caught": caught.is_some(),
            "seeds": tried,
            "workload": workload,
            "invariant": caught,
        });
        writeln!(stdout, "{line}")?;
        eprintln!(
            "{:<30}{:<7}{:<34}{}",
            variant.name(),
            workload,
            caught.map_or_else(
                || format!("survived {tried} seeds"),
                |invariant| format!("seed {tried}: {invariant}")
            ),
            variant.describe()
        );
        if caught.is_none() {
            survivors.push(variant.name());
        }
    }
    if args.json {
        let line = json!({ "summary": { "survivors": survivors } });
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()?;
    Ok(if survivors.is_empty() {
        Exit::Fine
    } else {
        eprintln!("survived: {}", survivors.join(", "));
        Exit::No
    })
}
