//! The harness's program.

use std::io;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use haechi_sim::check;

/// A deterministic simulation that tries to break haechi-store-redis.
#[derive(Debug, Parser)]
#[command(version)]
struct Program {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Check(check::Args),
}

fn main() -> ExitCode {
    match Program::parse().command {
        Command::Check(args) => match check::run(&args, &mut io::stdout(), &mut io::stderr()) {
            Ok(exit) => exit.into(),
            // Nobody reads what is said any more.
            Err(_) => ExitCode::from(2),
        },
    }
}
