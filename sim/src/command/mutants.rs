//! `haechi-sim mutants`: whether every planted bug is caught.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use clap::Args;
use serde_json::json;

use super::Exit;
use crate::{mutants::Variant, runner::run_seeds};

/// Runs every planted bug until a seed catches it, from ten places
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints {\"variant\",\"caught\",\"seeds\",\"p95\",\"invariant\"} for each: \"seeds\" is how many it takes to catch the
bug in the median, over ranges of seeds that have none in common.

Example: give each planted bug at most 200 seeds, from one place
  haechi-sim mutants --budget 200 --ranges 1")]
pub struct MutantsArgs {
    /// Seeds to try before a bug counts as having survived
    #[arg(long, value_name = "N", default_value_t = 500)]
    pub budget: u64,
    /// Ranges of seeds to start over in
    #[arg(long, value_name = "R", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=1000))]
    pub ranges: u64,
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

/// How one planted bug fared.
struct Caught {
    /// Seeds until it was caught, sorted, one for each range that caught it.
    seeds: Vec<u64>,
    /// By what, and how often.
    invariants: BTreeMap<&'static str, u64>,
    /// Ranges that did not catch it.
    survived: u64,
}

impl Caught {
    /// How many seeds catch it in so many of 100 ranges.
    fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.seeds.len() * percent).div_ceil(100).max(1) - 1;
        self.seeds.get(rank).copied()
    }

    /// The invariant that caught it most often.
    fn invariant(&self) -> Option<&'static str> {
        let most = self.invariants.iter().max_by_key(|(_, count)| **count);
        most.map(|(invariant, _)| *invariant)
    }
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
    eprintln!(
        "{:<26}{:>6}{:>6}  {:<22}what is broken",
        "variant", "median", "p95", "caught by"
    );
    for variant in Variant::planted() {
        let caught = hunt(args, variant, jobs);
        let (median, p95) = (caught.percentile(50), caught.percentile(95));
        let line = json!({
            "variant": variant.name(),
            "caught": caught.survived == 0,
            "seeds": median,
            "p95": p95,
            "invariant": caught.invariant(),
            "invariants": caught.invariants,
            "survivedRanges": caught.survived,
        });
        writeln!(stdout, "{line}")?;
        let number = |seeds: Option<u64>| seeds.map_or("-".to_owned(), |seeds| seeds.to_string());
        eprintln!(
            "{:<26}{:>6}{:>6}  {:<22}{}",
            variant.name(),
            number(median),
            number(p95),
            match caught.survived {
                0 => caught.invariant().unwrap_or_default().to_owned(),
                ranges => format!("SURVIVED {ranges} times"),
            },
            variant.describe()
        );
        if caught.survived > 0 {
            survivors.push(variant.name());
        }
    }
    if args.json {
        let line = json!({ "summary": { "survivors": survivors, "ranges": args.ranges } });
        writeln!(stdout, "{line}")?;
    }
    stdout.flush()?;
    Ok(if survivors.is_empty() {
        Exit::Success
    } else {
        eprintln!("survived: {}", survivors.join(", "));
        Exit::Violation
    })
}

/// Looks for the bug in each range.
fn hunt(args: &MutantsArgs, variant: Variant, jobs: usize) -> Caught {
    let options = variant.options();
    let mut caught = Caught {
        seeds: Vec::new(),
        invariants: BTreeMap::new(),
        survived: 0,
    };
    for range in 0..args.ranges {
        let from = args.from.saturating_add(range.saturating_mul(args.budget));
        let seeds = from..from.saturating_add(args.budget);
        let (mut tried, mut by) = (0, None);
        run_seeds(seeds, jobs, variant.twice(), &options, variant, |report| {
            tried += 1;
            by = report
                .world
                .run
                .violations
                .first()
                .map(|violation| violation.invariant.name());
            by.is_none()
        });
        match by {
            Some(invariant) => {
                caught.seeds.push(tried);
                *caught.invariants.entry(invariant).or_default() += 1;
            }
            None => caught.survived += 1,
        }
    }
    caught.seeds.sort_unstable();
    caught
}
