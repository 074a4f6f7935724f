//! `completions` and `man`: what a package of the program brings besides it.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::CommandFactory;
use clap_complete::Shell;

use crate::{
    args::Cli,
    exit::{Exit, Failure},
};

/// Print a shell's completions
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store completions bash > /etc/bash_completion.d/haechi-store")]
pub(crate) struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Write man pages, one for each command
#[derive(clap::Args, Debug)]
#[command(after_help = "\
Example:
  haechi-store man ~/.local/share/man/man1")]
pub(crate) struct ManArgs {
    /// The directory, which is made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<Exit, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "haechi-store", &mut text);
    // In bash's, clap_complete 4.6 calls a command of a program with a hyphen by two names
    // (clap-rs/clap#6421).
    let text = String::from_utf8_lossy(&text).replace("haechi__subcmd__store__", "haechi__store__");
    match io::stdout().write_all(text.as_bytes()) {
        Ok(()) => Ok(Exit::Success),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Exit::Success),
        Err(error) => Err(Failure::error(format!(
            "standard output cannot be written to: {error}; write to another file"
        ))),
    }
}

pub(crate) fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let directory = &args.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(Cli::command(), directory))
        .map_err(|error| {
            Failure::error(format!(
                "{} cannot be written: {error}; name another directory",
                directory.display()
            ))
        })?;
    Ok(Exit::Success)
}
