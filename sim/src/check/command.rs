//! The body of `haechi-sim check F`.

use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::PathBuf;

use crate::history::{self, History};

use super::{Verdict, check};

/// Check a history, from this harness or any other.
///
/// Prints {"verdict","violations":[{"invariant","ops","reason"}]} on stdout, and
/// a summary on stderr. Exit code: 0 every invariant holds, 1 one does not, 2 the
/// history cannot be read or judged.
#[derive(Clone, Debug, clap::Args)]
#[command(after_help = "Example:\n  haechi-sim check history.jsonl\n  \
    zcat history.jsonl.gz | haechi-sim check -")]
pub struct Args {
    /// The history, as JSON lines; `-` is stdin.
    #[arg(value_name = "F")]
    pub file: PathBuf,
}

/// How the program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Every invariant holds: code 0.
    Holds,
    /// One does not: code 1.
    Violated,
    /// The history cannot be read or judged: code 2.
    Unreadable,
}

impl Exit {
    /// The process's exit code.
    pub fn code(self) -> u8 {
        match self {
            Exit::Holds => 0,
            Exit::Violated => 1,
            Exit::Unreadable => 2,
        }
    }
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        exit.code().into()
    }
}

/// Reads and judges the history that `args` names. Nothing is written to `stdout`
/// unless there is a verdict.
///
/// # Errors
/// What the outputs say.
pub fn run(args: &Args, stdout: &mut impl Write, stderr: &mut impl Write) -> io::Result<Exit> {
    let name = args.file.display();
    let read = if args.file.as_os_str() == "-" {
        history::read(io::stdin().lock())
    } else {
        match File::open(&args.file) {
            Ok(file) => history::read(BufReader::with_capacity(1 << 16, file)),
            Err(error) => {
                writeln!(stderr, "{name} cannot be opened: {error}; check the path")?;
                return Ok(Exit::Unreadable);
            }
        }
    };
    let history = match read {
        Ok(history) => history,
        Err(error) => {
            writeln!(stderr, "{name}: {error}")?;
            return Ok(Exit::Unreadable);
        }
    };
    match check(&history) {
        Ok(verdict) => {
            serde_json::to_writer(&mut *stdout, &verdict)?;
            writeln!(stdout)?;
            summary(&history, &verdict, stderr)?;
            Ok(if verdict.is_ok() {
                Exit::Holds
            } else {
                Exit::Violated
            })
        }
        Err(error) => {
            writeln!(stderr, "{name}: {error}")?;
            Ok(Exit::Unreadable)
        }
    }
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
        writeln!(stderr, "  {}: {}", violation.invariant, violation.reason)?;
    }
    if count > 10 {
        writeln!(stderr, "  and {} more, on stdout", count - 10)?;
    }
    Ok(())
}
