//! `haechi-sim mutants`: whether every planted bug is caught.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet},
    io::{self, IsTerminal, Write},
};

use clap::Args;
use haechi_history::check::Invariant;
use serde_json::json;

use super::{Exit, report::print_wrapped, within};
use crate::{mutants::Variant, runner::run_seeds};

/// Runs every planted bug until a seed catches it, from ten places
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints a table; where standard output is no terminal, or with --json, a JSON line for each, and the \
table on standard error if only that is a terminal:
{\"variant\", \"caught\", \"seeds\", \"p95\", \"invariant\", \"violated\"}. \"seeds\" is how many \
it takes to catch the bug in the median, over ranges of seeds that have none in common. \"violated\" \
is what the worlds that catch it violate, {\"invariant\", \"first\", \"worlds\"}: how many report it, and \
how many report it first.

Example: give each planted bug at most 200 seeds, from one place
  haechi-sim mutants --budget 200 --ranges 1")]
pub struct MutantsArgs {
    /// Only this planted bug
    #[arg(long, value_name = "VARIANT")]
    pub store: Option<Variant>,
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
    #[arg(long, value_name = "J", value_parser = within(1..=1024))]
    pub jobs: Option<usize>,
    /// Print JSON lines to a terminal too, and a summary as the last one
    #[arg(long)]
    pub json: bool,
}

/// The result for one planted bug.
#[derive(Default)]
struct Caught {
    /// Seeds until it was caught, sorted, one for each range that caught it.
    seeds: Vec<u64>,
    /// The invariants that fail in the worlds that caught it.
    violated: BTreeMap<Invariant, Violated>,
    /// Ranges that did not catch it.
    survived: u64,
}

/// The worlds in which one invariant fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Violated {
    /// Those that report it.
    worlds: u64,
    /// Those that report it before any other.
    first: u64,
}

impl Caught {
    /// The number of seeds that catches it in so many percent of the ranges.
    fn percentile(&self, percent: usize) -> Option<u64> {
        let rank = (self.seeds.len() * percent).div_ceil(100).max(1) - 1;
        self.seeds.get(rank).copied()
    }

    /// Adds a world that caught it after so many seeds.
    fn add(&mut self, seeds: u64, reported: &[Invariant]) {
        self.seeds.push(seeds);
        self.seeds.sort_unstable();
        for invariant in reported.iter().collect::<BTreeSet<_>>() {
            let violated = self.violated.entry(*invariant).or_default();
            violated.worlds += 1;
            violated.first += u64::from(reported.first() == Some(invariant));
        }
    }

    /// What fails, the one that is reported first most often before the others.
    fn ranking(&self) -> Vec<(Invariant, Violated)> {
        let mut ranking: Vec<_> = self.violated.iter().map(|(of, how)| (*of, *how)).collect();
        ranking.sort_by_key(|(_, how)| Reverse((how.first, how.worlds)));
        ranking
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
    // For people a table; JSON for programs. Both are never written to one place.
    let (mut stdout, mut stderr) = (io::stdout(), io::stderr());
    let writes_json = args.json || !stdout.is_terminal();
    let table: &mut dyn Write = match writes_json {
        false => &mut io::stdout(),
        true if stderr.is_terminal() && !stdout.is_terminal() => &mut stderr,
        true => &mut io::sink(),
    };
    let [variant, median, p95] = ["variant", "median", "p95"];
    writeln!(table, "{variant:<26}{median:>6}{p95:>6}  caught by")?;
    for variant in
        Variant::planted().filter(|variant| args.store.is_none_or(|only| only == *variant))
    {
        let caught = hunt(args, variant, jobs);
        let (median, p95) = (caught.percentile(50), caught.percentile(95));
        let ranking = caught.ranking();
        let most = ranking.first().map(|(invariant, _)| invariant.name());
        let firsts = ranking.iter().filter(|(_, how)| how.first > 0);
        let firsts: BTreeMap<_, _> = firsts.map(|(of, how)| (of.name(), how.first)).collect();
        let violated = ranking.iter().map(
            |(of, how)| json!({ "invariant": of.name(), "first": how.first, "worlds": how.worlds }),
        );
        let line = json!({
            "variant": variant.name(),
            "caught": caught.survived == 0,
            "seeds": median,
            "p95": p95,
            "invariant": most,
            "invariants": firsts,
            "violated": violated.collect::<Vec<_>>(),
            "survivedRanges": caught.survived,
        });
        if writes_json {
            writeln!(stdout, "{line}")?;
            stdout.flush()?;
        }
        let number = |seeds: Option<u64>| seeds.map_or("-".to_owned(), |seeds| seeds.to_string());
        writeln!(
            table,
            "{:<26}{:>6}{:>6}  {}",
            variant.name(),
            number(median),
            number(p95),
            match caught.survived {
                0 => most.unwrap_or_default().to_owned(),
                ranges => format!("SURVIVED {ranges} times"),
            },
        )?;
        print_wrapped(table, 4, variant.describe())?;
        if ranking.len() > 1 {
            let shown = ranking
                .iter()
                .map(|(of, how)| format!("{of} {}/{}", how.first, how.worlds));
            print_wrapped(table, 4, &shown.collect::<Vec<_>>().join(", "))?;
        }
        if caught.survived > 0 {
            survivors.push(variant.name());
        }
    }
    let meaning =
        "invariant F/W: W of the worlds that caught the bug violate it, F report it first";
    writeln!(table, "{meaning}")?;
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

/// Searches each range for the bug.
fn hunt(args: &MutantsArgs, variant: Variant, jobs: usize) -> Caught {
    let options = variant.options();
    let mut caught = Caught::default();
    for range in 0..args.ranges {
        let from = args.from.saturating_add(range.saturating_mul(args.budget));
        let seeds = from..from.saturating_add(args.budget);
        let (mut tried, mut reported) = (0, Vec::new());
        run_seeds(seeds, jobs, variant.twice(), &options, variant, |report| {
            tried += 1;
            let violations = report.world.run.violations.iter();
            reported = violations.map(|violation| violation.invariant).collect();
            reported.is_empty()
        });
        if reported.is_empty() {
            caught.survived += 1;
        } else {
            caught.add(tried, &reported);
        }
    }
    caught
}

#[cfg(test)]
mod tests {
    use super::*;
    use Invariant::{LostToken, PartialDiff, StaleWrite};

    /// Catches an invariant that is left out because another is reported
    /// before it, one that counts twice in one world, and a wrong order.
    #[test]
    fn all_that_fails_is_ranked_by_how_often_it_is_reported_first() {
        let mut caught = Caught::default();
        caught.add(9, &[PartialDiff, StaleWrite, StaleWrite]);
        caught.add(2, &[LostToken]);
        caught.add(5, &[LostToken, StaleWrite]);
        assert_eq!(caught.percentile(50), Some(5));
        let how = |first, worlds| Violated { worlds, first };
        assert_eq!(
            caught.ranking(),
            [
                (LostToken, how(2, 2)),
                (PartialDiff, how(1, 1)),
                (StaleWrite, how(0, 2)),
            ]
        );
    }
}
