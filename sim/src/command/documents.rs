//! `haechi-sim completions` and `man`: what a package of the program brings besides it.

use std::{
    io::{self, Write},
    path::PathBuf,
};

use clap::{Args, Command};
use clap_complete::Shell;

use super::Exit;

/// Prints a shell's completions
#[derive(Args, Clone, Debug)]
#[command(after_help = "\
Example:
  haechi-sim completions zsh > ~/.zfunc/_haechi-sim")]
pub struct CompletionsArgs {
    /// The shell
    shell: Shell,
}

/// Writes man pages, one for each command
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// The directory, which is made if it does not exist
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Prints the completions of `program`.
///
/// # Errors
///
/// When standard output cannot be written to.
pub fn completions(args: &CompletionsArgs, program: Command) -> io::Result<Exit> {
    let (mut program, mut text) = (program, Vec::new());
    clap_complete::generate(args.shell, &mut program, "haechi-sim", &mut text);
    // In bash's, clap_complete 4.6 calls a command of a program with a hyphen by two names
    // (clap-rs/clap#6421).
    let text = String::from_utf8_lossy(&text).replace("haechi__subcmd__sim__", "haechi__sim__");
    io::stdout().write_all(text.as_bytes())?;
    Ok(Exit::Success)
}

/// Writes the man pages of `program`.
///
/// # Errors
///
/// None: what goes wrong with the directory is told, and ends with exit code 2.
pub fn man(args: &ManArgs, program: Command) -> io::Result<Exit> {
    let directory = &args.directory;
    let written = std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(program, directory));
    if let Err(error) = written {
        let place = directory.display();
        eprintln!("error: {place} cannot be written: {error}; name another directory");
        return Ok(Exit::Error);
    }
    Ok(Exit::Success)
}
