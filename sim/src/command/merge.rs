//! `haechi-sim merge`: the summaries of several shards or machines as one.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, BufRead, BufReader, Write},
    path::PathBuf,
};

use clap::Args;
use serde_json::{Value, json};

use super::Exit;
use crate::{plan::FaultKind, record::Mark};

/// Adds up the --json outputs of runs
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Prints {\"summary\":{…}} with the sums, the seeds that failed, what no run met, and the seeds a day that \
these machines get through together. Exits with 1 if a seed failed or a file has no summary.

Example:
  haechi-sim run --json --shard 1/2 --seeds 0..100000 > a.jsonl
  haechi-sim run --json --shard 2/2 --seeds 0..100000 > b.jsonl   # on another
  haechi-sim merge a.jsonl b.jsonl")]
pub struct MergeArgs {
    /// Outputs of `run --json`
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// The sum of several runs.
#[derive(Default)]
struct Sum {
    numbers: BTreeMap<&'static str, u64>,
    faults: BTreeMap<String, u64>,
    marks: BTreeMap<String, u64>,
    failed: Vec<u64>,
    seeds_a_second: f64,
}

const NUMBERS: [&str; 6] = [
    "seeds",
    "operations",
    "conflicts",
    "retries",
    "lostReplies",
    "simulatedMs",
];

/// Runs the command.
///
/// # Errors
///
/// When a file cannot be read, or standard output not be written to.
pub fn merge(args: &MergeArgs) -> io::Result<Exit> {
    let mut sum = Sum::default();
    let mut incomplete = false;
    for path in &args.files {
        let file = match File::open(path) {
            Ok(file) => file,
            Err(error) => {
                eprintln!("error: {} cannot be opened: {error}", path.display());
                return Ok(Exit::Error);
            }
        };
        let mut found = false;
        for line in BufReader::new(file).lines() {
            // A run that was stopped leaves a torn line and no summary.
            if let Ok(line) = serde_json::from_str::<Value>(&line?)
                && let Some(summary) = line.get("summary")
            {
                sum.add(summary);
                found = true;
            }
        }
        if !found {
            eprintln!(
                "error: {} holds no summary: the run did not end; its seeds are not counted",
                path.display()
            );
            incomplete = true;
        }
    }
    if incomplete && sum.numbers.is_empty() {
        return Ok(Exit::Violation);
    }
    let answer = sum.answer();
    let mut stdout = io::stdout().lock();
    writeln!(stdout, "{}", json!({ "summary": answer }))?;
    stdout.flush()?;
    eprintln!(
        "{} worlds from {} files, {} failed; {:.0} seeds a day together",
        answer["seeds"],
        args.files.len(),
        sum.failed.len(),
        sum.seeds_a_second * 86_400.0
    );
    Ok(if sum.failed.is_empty() && !incomplete {
        Exit::Success
    } else {
        Exit::Violation
    })
}

impl Sum {
    fn add(&mut self, summary: &Value) {
        for name in NUMBERS {
            *self.numbers.entry(name).or_default() += summary[name].as_u64().unwrap_or(0);
        }
        for (from, to) in [("faults", &mut self.faults), ("marks", &mut self.marks)] {
            for (name, count) in summary[from].as_object().into_iter().flatten() {
                *to.entry(name.clone()).or_default() += count.as_u64().unwrap_or(0);
            }
        }
        let failed = summary["failedSeeds"].as_array().into_iter().flatten();
        self.failed.extend(failed.filter_map(Value::as_u64));
        let wall = summary["wallMs"].as_f64().unwrap_or(0.0) / 1000.0;
        if wall > 0.0 {
            self.seeds_a_second += summary["seeds"].as_f64().unwrap_or(0.0) / wall;
        }
    }

    fn answer(&mut self) -> Value {
        self.failed.sort_unstable();
        let faults = FaultKind::all().map(|kind| kind.name().to_owned());
        let marks = Mark::all().map(|mark| mark.to_string());
        let never: Vec<_> = faults
            .filter(|name| !self.faults.contains_key(name))
            .collect();
        let unreached: Vec<_> = marks
            .filter(|name| !self.marks.contains_key(name))
            .collect();
        let mut answer = json!({
            "verdict": if self.failed.is_empty() { "ok" } else { "violation" },
            "failedSeeds": self.failed,
            "faults": self.faults,
            "faultsNotExercised": never,
            "marks": self.marks,
            "marksNotReached": unreached,
            "seedsADay": (self.seeds_a_second * 86_400.0).round(),
        });
        for (name, number) in &self.numbers {
            answer[*name] = json!(number);
        }
        answer
    }
}
