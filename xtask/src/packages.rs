//! `cargo xtask packages`: what is published, used as its users do: from the tarballs, in a
//! project that is not in this workspace.

use std::{fs, io};

use crate::{
    Outcome,
    process::cargo_command,
    tarballs::{FLAGS, PACKAGES, Unpacked, VERSION, patch, target},
};

/// Uses each package.
const USER: &str = include_str!("../packages/main.rs");

/// Puts a system of its own under the harness.
const OWN_SYSTEM: &str = include_str!("../../sim/src/system/counter.rs");

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
    fs::create_dir_all(folder.join("user/src/bin"))?;
    fs::write(folder.join("user/Cargo.toml"), manifest())?;
    fs::write(folder.join("user/src/main.rs"), USER)?;
    fs::write(folder.join("user/src/bin/own_system.rs"), OWN_SYSTEM)?;
    let target = target()?.join("packages");
    let cargo = |words: &str, directory: &str| {
        let status = cargo_command(words, FLAGS)
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(folder.join(directory))
            .status()?;
        Ok::<_, io::Error>(status.success())
    };
    if !cargo("run --bin user", "user")? || !cargo("run --bin own_system", "user")? {
        return Ok(false);
    }
    // Would fail for a file that tests include and that is not packed. Those in `tests/` are only
    // built, and all of the last package: some need the repository.
    for package in PACKAGES {
        let directory = format!("{package}-{VERSION}");
        fs::create_dir_all(folder.join(&directory).join(".cargo"))?;
        let config = folder.join(&directory).join(".cargo/config.toml");
        fs::write(config, patch("../"))?;
        let is_run = package != "haechi-sim";
        if !cargo("check --quiet --tests --all-features", &directory)?
            || is_run && !cargo("test --quiet --lib --all-features", &directory)?
        {
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
         redis = {{ version = \"1\", default-features = false, features = [\"tokio-comp\"] }}\n\
         tokio = {{ version = \"1\", features = [\"full\"] }}\n{}\n{}",
        used.concat(),
        patch("../")
    )
}
