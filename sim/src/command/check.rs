//! The body of `haechi-sim check F`.

use std::fs::{self, File};
use std::io::{self, BufReader, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::{Exit, report::print_wrapped};
use crate::html::{self, Heading, View};
use haechi_history::check::{Verdict, check};
use haechi_history::{self, History, ReadError};

/// Checks a history, from this harness or any other.
///
/// Prints {"verdict","violations":[{"invariant","ops","reason"}]} on stdout, and
/// a summary on stderr. Exit code: 0 every invariant holds, 1 one does not or a
/// line is not a history's, 2 the history cannot be opened or decided.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  haechi-sim check history.jsonl\n  \
    zcat history.jsonl.gz | haechi-sim check -\n  \
    haechi-sim check history.jsonl --report page.html")]
pub struct CheckArgs {
    /// The history, as JSON lines; `-` is stdin.
    #[arg(value_name = "F")]
    pub file: PathBuf,
    /// Write a page with the history's timeline, for a browser
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
}

/// Above this, durations are printed.
const LONG: Duration = Duration::from_secs(1);

/// Reads and checks the history that `args` names. Nothing is written to
/// `stdout` unless there is a verdict.
///
/// # Errors
///
/// When an output cannot be written to.
#[expect(
    clippy::disallowed_methods,
    reason = "only printed; no verdict depends on it"
)]
pub fn run(args: &CheckArgs, stdout: &mut impl Write, stderr: &mut impl Write) -> io::Result<Exit> {
    let name = args.file.display();
    let started = Instant::now();
    let read = if args.file.as_os_str() == "-" {
        haechi_history::read(io::stdin().lock())
    } else {
        match File::open(&args.file) {
            Ok(file) => haechi_history::read(BufReader::with_capacity(1 << 16, file)),
            Err(error) => {
                writeln!(stderr, "{name} cannot be opened: {error}; check the path")?;
                return Ok(Exit::Error);
            }
        }
    };
    let history = match read {
        Ok(history) => history,
        Err(error) => {
            writeln!(stderr, "{name}: {error}")?;
            return Ok(match error {
                ReadError::Io { .. } | ReadError::NoFinal { .. } => Exit::Error,
                // A bad line of the input.
                _ => Exit::Violation,
            });
        }
    };
    let reading = started.elapsed();
    match check(&history) {
        Ok(verdict) => {
            let judging = started.elapsed().saturating_sub(reading);
            serde_json::to_writer(&mut *stdout, &verdict)?;
            writeln!(stdout)?;
            if let Some(path) = &args.report
                && let Err(error) = fs::write(path, page(args, &history, &verdict))
            {
                writeln!(
                    stderr,
                    "error: {} cannot be written: {error}",
                    path.display()
                )?;
                return Ok(Exit::Error);
            }
            summary(&history, &verdict, stderr)?;
            if reading + judging > LONG {
                writeln!(
                    stderr,
                    "read in {:.1} s, judged in {:.1} s",
                    reading.as_secs_f64(),
                    judging.as_secs_f64()
                )?;
            }
            Ok(if verdict.is_ok() {
                Exit::Success
            } else {
                Exit::Violation
            })
        }
        Err(error) => {
            writeln!(stderr, "{name}: {error}")?;
            Ok(Exit::Error)
        }
    }
}

/// The timeline of a history.
fn page(args: &CheckArgs, history: &History, verdict: &Verdict) -> String {
    let file = args.file.display().to_string();
    let heading = Heading {
        title: format!("haechi-sim: {file}"),
        command: format!("haechi-sim check {file}"),
    };
    html::timeline(&heading, &[View::of(&file, history, &verdict.violations)])
}

fn summary(history: &History, verdict: &Verdict, stderr: &mut impl Write) -> io::Result<()> {
    let operations = history.operations().len();
    let records = history.chain().map_or(0, <[_]>::len);
    let processes = history.process_count();
    write!(
        stderr,
        "{operations} operations of {processes} processes, {records} records: "
    )?;
    if verdict.is_ok() {
        return writeln!(stderr, "every invariant holds");
    }
    let count = verdict.violations.len();
    writeln!(
        stderr,
        "{count} violation{}",
        if count == 1 { "" } else { "s" }
    )?;
    for violation in verdict.violations.iter().take(10) {
        let text = format!("{}: {}", violation.invariant, violation.reason);
        print_wrapped(stderr, 2, &text)?;
    }
    if count > 10 {
        writeln!(stderr, "  and {} more, on stdout", count - 10)?;
    }
    Ok(())
}
