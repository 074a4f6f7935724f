//! `haechi-sim`: tries to break haechi-store-redis, one seed at a time.

use std::{io, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use haechi_sim::command::{
    Exit, check, diff, documents, merge, mutants, replay, run, serve, shrink, torture,
};

/// Saves a tenth of the time: a world makes many small allocations.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Tries to break haechi-store-redis: replicas of the production store, a
/// simulated Redis that runs the production Lua, and a nemesis, all from one
/// seed. Exit codes: 0 success, 1 a violation was found or a planted bug
/// survived, 2 usage or I/O error, or an error of the harness itself.
#[derive(Parser)]
#[command(name = "haechi-sim", version, max_term_width = 80)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Run(run::RunArgs),
    Replay(replay::ReplayArgs),
    Shrink(shrink::ShrinkArgs),
    Diff(diff::DiffArgs),
    Mutants(mutants::MutantsArgs),
    Check(check::CheckArgs),
    Merge(merge::MergeArgs),
    Serve(serve::ServeArgs),
    Torture(torture::TortureArgs),
    Completions(documents::CompletionsArgs),
    Man(documents::ManArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Replay(args) => replay::replay(&args),
        Command::Shrink(args) => shrink::shrink(&args),
        Command::Diff(args) => diff::diff(&args),
        Command::Mutants(args) => mutants::mutants(&args),
        Command::Check(args) => check::run(&args, &mut io::stdout(), &mut io::stderr()),
        Command::Merge(args) => merge::merge(&args),
        Command::Serve(args) => serve::serve(&args),
        Command::Torture(args) => torture::torture(&args),
        Command::Completions(args) => documents::completions(&args, Cli::command()),
        Command::Man(args) => documents::man(&args, Cli::command()),
    };
    match result {
        Ok(exit) => ExitCode::from(exit as u8),
        // The reader of standard output has closed it.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: standard output cannot be written to: {error}");
            ExitCode::from(Exit::Error as u8)
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::error::ErrorKind;

    use super::*;

    /// The command lines of this program in a page, as words: in sessions, each command of a pipe,
    /// and in code within text. Names that a reader replaces are replaced.
    fn command_lines(page: &str) -> Vec<Vec<String>> {
        let page = page.replace("cargo run --release -p haechi-sim -- ", "haechi-sim ");
        let page = page.replace(" 2> ", " > ");
        let begins = page.match_indices("haechi-sim ").filter_map(|(at, _)| {
            let ends: &[char] = match page[..at].chars().next_back() {
                Some('`') => &['`'],
                Some(' ') if page[..at].trim_end().ends_with(['$', '|']) => {
                    &['\n', '|', '#', '>', '&']
                }
                _ => return None,
            };
            page[at..].split(ends).next()
        });
        let words = |line: &str| {
            let words = line.split_whitespace().map(|word| match word {
                "SEED" | "N" => "1".to_owned(),
                "NAME" => "correct".to_owned(),
                word => word.to_owned(),
            });
            words.collect()
        };
        begins.map(words).collect()
    }

    /// Catches a page that shows a command or an option that is renamed or gone.
    #[test]
    fn command_lines_of_the_documents_are_accepted() {
        let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
        let mut pages = vec![
            format!("{root}/README.md"),
            format!("{root}/BENCHMARKS.md"),
            format!("{root}/CONTRIBUTING.md"),
            format!("{root}/sim/README.md"),
        ];
        for entry in std::fs::read_dir(format!("{root}/docs")).unwrap() {
            let path = entry.unwrap().path().display().to_string();
            pages.extend(path.ends_with(".md").then_some(path));
        }
        let mut parsed = 0;
        for page in pages {
            let text = std::fs::read_to_string(&page).unwrap();
            for line in command_lines(&text) {
                parsed += 1;
                if let Err(error) = Cli::command().try_get_matches_from(&line) {
                    let is_right = match error.kind() {
                        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => true,
                        // The name of a command within text.
                        ErrorKind::MissingRequiredArgument => line.len() == 2,
                        _ => false,
                    };
                    assert!(is_right, "{page}: {}\n{error}", line.join(" "));
                }
            }
        }
        assert!(parsed > 40, "{parsed}");
    }

    /// Catches a search for command lines that finds none, or takes more than one for a line.
    #[test]
    fn command_lines_are_found() {
        let page = "`haechi-sim run\n--seeds 0..9` as\n$ haechi-sim replay --seed SEED | haechi-sim check -  # all\n\
                    the haechi-sim program\n";
        let found = command_lines(page);
        let found: Vec<_> = found.iter().map(|words| words.join(" ")).collect();
        let expected = [
            "haechi-sim run --seeds 0..9",
            "haechi-sim replay --seed 1",
            "haechi-sim check -",
        ];
        assert_eq!(found, expected);
    }
}
