//! The project's own commands, one file each.

mod bench;
mod book;
mod deployments;
mod deps;
mod figures;
mod fuzz;
mod mutants;
mod packages;
mod process;
mod release_check;
mod screenshots;
mod soak;
mod tarballs;
mod test;

use std::{env, process::ExitCode};

use clap::{Parser, Subcommand};

/// The project's own commands.
///
/// Exit codes: 0 success, 1 a check failed, 2 usage error or a missing tool.
#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run every check: dependency directions, format, lints, documentation, tests, models, a simulation
    Test,
    /// Check the dependencies of crates and modules against ARCHITECTURE.md
    Deps,
    Fuzz(fuzz::FuzzArgs),
    Bench(bench::BenchArgs),
    /// Build the pages of docs as a book, in target/book; needs mdbook
    Book,
    Figures(figures::FiguresArgs),
    Deployments(deployments::DeploymentsArgs),
    /// Run the loom models, with their own cfg and target directory
    Models,
    /// Run cargo-mutants on the core of the store; takes half an hour
    Mutants {
        /// Options of cargo-mutants, for example --shard 0/20
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        options: Vec<String>,
    },
    /// Build the four packages from their tarballs, outside of the workspace, and use them there
    Packages,
    /// Check what has to hold before a release: features, versions, licenses, packages (docs/releasing.md)
    ReleaseCheck,
    /// Make the images of docs/images: pages of haechi-sim, in a Chromium without a window
    Screenshots,
    Soak(soak::SoakArgs),
}

/// How a command ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Passed = 0,
    Failed = 1,
    /// The command could not run: a wrong argument or a missing tool.
    NotRun = 2,
}

impl From<bool> for Outcome {
    fn from(passed: bool) -> Self {
        if passed { Self::Passed } else { Self::Failed }
    }
}

fn main() -> ExitCode {
    let command = Cli::parse().command;
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if let Err(error) = env::set_current_dir(root) {
        eprintln!("error: {root}: {error}");
        return ExitCode::from(Outcome::NotRun as u8);
    }
    let outcome = match command {
        Command::Test => test::run().into(),
        Command::Deps => deps::run().into(),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Bench(args) => bench::run(&args),
        Command::Book => book::run(),
        Command::Figures(args) => figures::run(&args).into(),
        Command::Deployments(args) => deployments::run(&args),
        Command::Models => test::models().into(),
        Command::Mutants { options } => mutants::run(&options),
        Command::Packages => packages::run(),
        Command::ReleaseCheck => release_check::run(),
        Command::Screenshots => screenshots::run(),
        Command::Soak(args) => soak::run(&args).into(),
    };
    ExitCode::from(outcome as u8)
}
