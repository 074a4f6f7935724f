//! `haechi-sim`: tries to break haechi-store-redis, one seed at a time.

use std::{io, process::ExitCode};

use clap::{CommandFactory, Parser, Subcommand};
use haechi_sim::command::{
    Exit, check, diff, documents, merge, mutants, replay, run, serve, shrink, torture,
};

#[cfg(not(tokio_unstable))]
compile_error!(
    "without it one seed does not give one trace: build with RUSTFLAGS='--cfg tokio_unstable'"
);

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
