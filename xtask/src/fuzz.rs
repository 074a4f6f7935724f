//! `cargo xtask fuzz`: one fuzz target under libFuzzer, for some minutes.
//!
//! No sanitizer is used: the code under test forbids `unsafe`, so a sanitizer
//! could only find errors in dependencies, and it costs inputs a second.
//! Without one, cargo-fuzz needs nothing unstable, so the toolchain that builds
//! everything else is used.

use std::{
    fs,
    io::{self, BufRead as _, BufReader},
    process::{Command, Stdio},
};

use clap::Args;

use crate::{Outcome, process::succeeds};

/// Fuzz one target with cargo-fuzz, and print how many inputs a second it tried
///
/// Needs cargo-fuzz (cargo install cargo-fuzz), and no nightly toolchain. New
/// inputs are kept in target/fuzz-corpus, failing ones in fuzz/artifacts.
#[derive(Args)]
#[command(
    after_help = "Exit codes: 0 no failure, 1 an input failed, 2 the target could not be built.

Example: fuzz the chain's verifier for ten minutes
  cargo xtask fuzz chain_verify --minutes 10"
)]
pub(crate) struct FuzzArgs {
    /// A target: the name of a file in fuzz/fuzz_targets
    #[arg(default_value = "diff_apply")]
    target: String,
    /// How long to fuzz; fractions are allowed
    #[arg(long, value_name = "M", default_value_t = 1.0)]
    minutes: f64,
}

/// Runs the command.
pub(crate) fn run(args: &FuzzArgs) -> Outcome {
    match fuzz(args) {
        Ok(passed) => passed.into(),
        Err(why) => {
            eprintln!("error: {why}");
            Outcome::NotRun
        }
    }
}

fn fuzz(args: &FuzzArgs) -> Result<bool, String> {
    let target = &*args.target;
    let known = targets().map_err(|error| format!("fuzz/fuzz_targets: {error}"))?;
    if !known.iter().any(|name| name == target) {
        return Err(format!(
            "no target {target}; there are {}",
            known.join(", ")
        ));
    }
    build(target)?;
    let own = format!("target/fuzz-corpus/{target}");
    fs::create_dir_all(&own).map_err(|error| format!("{own}: {error}"))?;
    let mut run = cargo_fuzz("run");
    // libFuzzer reads all directories and writes to the first, so the committed
    // ones do not change.
    run.args([target, &own, &format!("fuzz/corpus/{target}"), "--"])
        .arg(format!("-max_total_time={}", seconds(args.minutes)))
        .arg("-print_final_stats=1")
        .stderr(Stdio::piped());
    let (passed, statistics) = watch(&mut run).map_err(|error| error.to_string())?;
    println!(
        "{target}: {} inputs, {} inputs a second; {}",
        statistics.inputs,
        statistics.per_second,
        if passed { "no failure" } else { "FAILED" }
    );
    Ok(passed)
}

/// At least one: for libFuzzer, 0 means no limit.
fn seconds(minutes: f64) -> u64 {
    ((minutes * 60.0).round() as u64).max(1)
}

fn targets() -> io::Result<Vec<String>> {
    let mut names: Vec<String> = fs::read_dir("fuzz/fuzz_targets")?
        .map(|entry| {
            let path = entry?.path();
            Ok(path
                .file_stem()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned())
        })
        .collect::<io::Result<_>>()?;
    names.sort();
    Ok(names)
}

fn build(target: &str) -> Result<(), String> {
    if !succeeds(Command::new("cargo").args(["fuzz", "--version"])) {
        return Err("cargo-fuzz is missing: cargo install cargo-fuzz".to_owned());
    }
    println!("+ cargo fuzz build --sanitizer none {target}");
    match cargo_fuzz("build").arg(target).status() {
        Ok(status) if status.success() => Ok(()),
        _ => Err(format!("{target} could not be built")),
    }
}

fn cargo_fuzz(command: &str) -> Command {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["fuzz", command, "--sanitizer", "none"])
        .args(["--target-dir", "target/fuzz"])
        .env_remove("CARGO_MANIFEST_DIR");
    cargo
}

/// The statistics that libFuzzer prints at its end.
#[derive(Debug, Default, PartialEq)]
struct Statistics {
    inputs: u64,
    per_second: u64,
}

impl Statistics {
    fn read(&mut self, line: &str) {
        let value = |name: &str| line.strip_prefix(name)?.trim().parse().ok();
        if let Some(inputs) = value("stat::number_of_executed_units:") {
            self.inputs = inputs;
        }
        if let Some(per_second) = value("stat::average_exec_per_sec:") {
            self.per_second = per_second;
        }
    }
}

/// Runs it, forwards its output, and collects its statistics.
fn watch(run: &mut Command) -> io::Result<(bool, Statistics)> {
    let mut child = run.spawn()?;
    let mut statistics = Statistics::default();
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).split(b'\n') {
            let line = line?;
            let line = String::from_utf8_lossy(&line);
            eprintln!("{line}");
            statistics.read(&line);
        }
    }
    Ok((child.wait()?.success(), statistics))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_of_libfuzzer() {
        let mut statistics = Statistics::default();
        for line in [
            "Done 22187 runs in 11 second(s)",
            "stat::number_of_executed_units: 22187",
            "stat::average_exec_per_sec:     2017",
        ] {
            statistics.read(line);
        }
        let expected = Statistics {
            inputs: 22187,
            per_second: 2017,
        };
        assert_eq!(statistics, expected);
    }

    #[test]
    fn a_fraction_of_a_second_is_rounded_up() {
        assert_eq!([0.001, 0.5, 10.0].map(seconds), [1, 30, 600]);
    }
}
