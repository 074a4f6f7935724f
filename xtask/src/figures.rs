//! `cargo xtask figures`: the block of README that shows what the simulation prints.

use std::{
    fs,
    io::{self, BufRead, BufReader},
    process::Stdio,
};

use clap::Args;

use crate::process::cargo_command;

/// Run the simulation, and compare README's block of figures with what it prints
///
/// A part of `cargo xtask test`. Times are not compared; everything else follows from the seeds.
#[derive(Args, Default)]
pub(crate) struct FiguresArgs {
    /// Put what it prints into README
    #[arg(long)]
    write: bool,
}

const README: &str = "README.md";
const BEGIN: &str = "<!-- figures:begin -->\n```text\n";
const END: &str = "```\n<!-- figures:end -->";

/// Runs the command; whether the simulation passed and README shows its figures.
pub(crate) fn run(args: &FiguresArgs) -> bool {
    match compare(args) {
        Ok(same) => same,
        Err(error) => {
            println!("error: {error}");
            false
        }
    }
}

fn compare(args: &FiguresArgs) -> io::Result<bool> {
    let mut simulation =
        cargo_command("run --release -p haechi-sim -- run", &[] as &[(&str, &str)])
            .stdout(Stdio::piped())
            .spawn()?;
    let mut printed = Vec::new();
    if let Some(stdout) = simulation.stdout.take() {
        for line in BufReader::new(stdout).lines() {
            let line = line?;
            println!("{line}");
            printed.push(line);
        }
    }
    if !simulation.wait()?.success() {
        return Ok(false);
    }
    let missing = || io::Error::other("the figures are not where they were");
    let figures = figures(&printed).ok_or_else(missing)?;
    let readme = fs::read_to_string(README)?;
    let (before, rest) = readme.split_once(BEGIN).ok_or_else(missing)?;
    let (shown, after) = rest.split_once(END).ok_or_else(missing)?;
    if shown == figures {
        return Ok(true);
    }
    if args.write {
        fs::write(README, [before, BEGIN, &figures, END, after].concat())?;
        println!("{README} is changed");
        return Ok(true);
    }
    println!(
        "{README} shows\n\n{shown}\ninstead of\n\n{figures}\nchange it by: cargo xtask figures --write"
    );
    Ok(false)
}

/// The first two lines and the last two, without times.
fn figures(printed: &[String]) -> Option<String> {
    let [worlds, operations, .., marks, verdict] = printed else {
        return None;
    };
    let (worlds, _) = worlds.split_once(" in ")?;
    Some(format!(
        "{worlds} in …\n{operations}\n…\n{marks}\n{verdict}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a block that is not found, and times in it, which differ from run to run.
    #[test]
    fn times_are_left_out() {
        let printed = ["2 worlds in 3 s", "4 operations", "more", "5 of 5", "ok"];
        let figures = figures(&printed.map(str::to_owned)).unwrap();
        assert_eq!(figures, "2 worlds in …\n4 operations\n…\n5 of 5\nok\n");
        let readme = include_str!("../../README.md");
        let (_, rest) = readme.split_once(BEGIN).unwrap();
        let (shown, _) = rest.split_once(END).unwrap();
        assert!(shown.contains(" worlds in …\n"), "{shown}");
    }
}
