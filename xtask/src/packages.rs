//! `cargo xtask packages`: what is published, used as its users do: from the tarballs, in a
//! project that is not in this workspace.

use std::{fs, io};

use crate::{
    Outcome,
    process::cargo_command,
    tarballs::{FLAGS, PACKAGES, Unpacked, VERSION, patch, target},
};

const USER: &str = include_str!("../packages/main.rs");

/// Runs the command.
pub(crate) fn run() -> Outcome {
    match build() {
        Ok(passed) => passed.into(),
        Err(error) => {
            println!("error: {error}");
            Outcome::NotRun
        }
    }
}

/// Builds a project that uses the tarballs, and runs the tests that are in them; whether all
/// of it passed.
fn build() -> io::Result<bool> {
    let Some(unpacked) = Unpacked::new()? else {
        return Ok(false);
    };
    let folder = unpacked.path();
    fs::create_dir_all(folder.join("user/src"))?;
    fs::write(folder.join("user/Cargo.toml"), manifest())?;
    fs::write(folder.join("user/src/main.rs"), USER)?;
    let target = target()?.join("packages");
    let cargo = |words: &str, directory: &str| {
        let status = cargo_command(words, FLAGS)
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(folder.join(directory))
            .status()?;
        Ok::<_, io::Error>(status.success())
    };
    if !cargo("run", "user")? {
        return Ok(false);
    }
    // Would fail for a file that tests include and that is not packed. Those of the last package
    // are only built: some need the repository.
    for package in PACKAGES {
        let directory = format!("{package}-{VERSION}");
        fs::create_dir_all(folder.join(&directory).join(".cargo"))?;
        let config = folder.join(&directory).join(".cargo/config.toml");
        fs::write(config, patch("../"))?;
        let words = match package {
            "haechi-sim" => "check --quiet --tests",
            _ => "test --quiet --lib --all-features",
        };
        if !cargo(words, &directory)? {
            return Ok(false);
        }
    }
    println!(
        "the {} packages work outside of the workspace",
        PACKAGES.len()
    );
    Ok(true)
}

/// The manifest of a project that uses the packages.
fn manifest() -> String {
    let used = PACKAGES.map(|package| format!("{package} = \"{VERSION}\"\n"));
    format!(
        "[package]\nname = \"user\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         tokio = {{ version = \"1\", features = [\"full\"] }}\n{}\n{}",
        used.concat(),
        patch("../")
    )
}
