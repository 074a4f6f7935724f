//! `cargo xtask mutants`: cargo-mutants on a copy of the committed files,
//! without the packages that the library's unit tests do not need, so that each
//! mutant builds in a second or two.

use std::{
    fs, io,
    path::Path,
    process::{Command, Stdio},
};

use crate::{Outcome, process::succeeds};

/// The directory of the copy.
const COPY: &str = "target/mutants";

/// Packages missing from the copy, by their folders.
const LEFT_OUT: [&str; 4] = ["sim", "models", "xtask", "fuzz"];

/// Runs cargo-mutants with further options.
pub(crate) fn run(options: &[String]) -> Outcome {
    if !succeeds(Command::new("cargo").args(["mutants", "--version"])) {
        eprintln!("error: cargo-mutants is missing: cargo install cargo-mutants");
        return Outcome::NotRun;
    }
    if let Err(error) = copy(Path::new(COPY)) {
        eprintln!("error: {COPY} cannot be made: {error}");
        return Outcome::NotRun;
    }
    println!("+ cargo mutants --in-place, in {COPY}");
    let done = Command::new("cargo")
        .args(["mutants", "--in-place"])
        .args(options)
        .current_dir(COPY)
        // Fewer cases of each property are enough.
        .env("PROPTEST_CASES", "32")
        .env_remove("CARGO_MANIFEST_DIR")
        .status();
    match done {
        Ok(status) => status.success().into(),
        Err(error) => {
            eprintln!("error: cargo: {error}");
            Outcome::NotRun
        }
    }
}

fn copy(to: &Path) -> io::Result<()> {
    // Build artifacts may stay.
    for old in ["src", "tests", "mutants.out"] {
        match fs::remove_dir_all(to.join(old)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    fs::create_dir_all(to)?;
    let mut archive = Command::new("git")
        .args(["archive", "HEAD", "--", "."])
        .args(LEFT_OUT.map(|package| format!(":(exclude){package}")))
        .stdout(Stdio::piped())
        .spawn()?;
    let from = archive.stdout.take().map_or(Stdio::null(), Stdio::from);
    let unpacked = Command::new("tar")
        .arg("x")
        .current_dir(to)
        .stdin(from)
        .status()?;
    if !archive.wait()?.success() || !unpacked.success() {
        return Err(io::Error::other("git archive or tar failed"));
    }
    let manifest = to.join("Cargo.toml");
    let alone: String = fs::read_to_string(&manifest)?
        .lines()
        .filter(|line| {
            !["haechi-", "redis-sim", "members ="]
                .iter()
                .any(|start| line.starts_with(start))
        })
        .flat_map(|line| [line, "\n"])
        .collect();
    fs::write(manifest, alone)
}
