//! `cargo xtask packages`: what is published, used as its users do: from the tarballs, in a
//! project that is not in this workspace.

use std::{
    env, fs, io,
    path::{Path, PathBuf},
    process::{self, Command, Stdio},
};

use crate::{
    Outcome,
    process::{cargo_command, succeeds},
};

/// The packages that are published, each after those that it depends on.
pub(crate) const PACKAGES: [&str; 4] = [
    "haechi-history",
    "redis-sim",
    "haechi-store-redis",
    "haechi-sim",
];

/// All have the version of the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

const USER: &str = include_str!("../packages/main.rs");

/// Runs the command.
pub(crate) fn run() -> Outcome {
    let folder = env::temp_dir().join(format!("haechi-packages-{}", process::id()));
    let built = build(&folder);
    // What is left is only in the way.
    let _ = fs::remove_dir_all(&folder);
    match built {
        Ok(passed) => passed.into(),
        Err(error) => {
            println!("{}: {error}", folder.display());
            Outcome::NotRun
        }
    }
}

/// Packs, unpacks, and builds; whether all of it passed.
fn build(folder: &Path) -> io::Result<bool> {
    let tarballs = target()?.join("package");
    if !are_packed() {
        return Ok(false);
    }
    fs::create_dir_all(folder.join("user/src"))?;
    for package in PACKAGES {
        let tarball = tarballs.join(format!("{package}-{VERSION}.crate"));
        println!(
            "{}: {} bytes",
            tarball.display(),
            fs::metadata(&tarball)?.len()
        );
        let unpack = &mut Command::new("tar");
        if !succeeds(unpack.arg("xzf").arg(tarball).arg("-C").arg(folder)) {
            println!("tar does not unpack it");
            return Ok(false);
        }
    }
    fs::write(folder.join("user/Cargo.toml"), manifest())?;
    fs::write(folder.join("user/src/main.rs"), USER)?;
    let target = target()?.join("packages");
    let cargo = |words: &str, directory: &str| {
        let status = cargo_command(words, OUTSIDE)
            .env("CARGO_TARGET_DIR", &target)
            .current_dir(folder.join(directory))
            .status()?;
        Ok::<_, io::Error>(status.success())
    };
    if !cargo("run", "user")? {
        return Ok(false);
    }
    // The tests that are in the tarballs have what they include.
    for package in &PACKAGES[..3] {
        let directory = format!("{package}-{VERSION}");
        fs::create_dir_all(folder.join(&directory).join(".cargo"))?;
        fs::write(folder.join(&directory).join(".cargo/config.toml"), patch())?;
        if !cargo("test --quiet --lib --all-features", &directory)? {
            return Ok(false);
        }
    }
    println!(
        "the {} packages work outside of the workspace",
        PACKAGES.len()
    );
    Ok(true)
}

/// Without the flag of this workspace's `.cargo/config.toml`, the program of haechi-sim is an
/// error, and its worlds are not repeated exactly.
const OUTSIDE: &[(&str, &str)] = &[("RUSTFLAGS", "--cfg tokio_unstable")];

/// Makes the tarballs; fails on a warning, too.
fn are_packed() -> bool {
    let names = PACKAGES.map(|package| format!("-p {package}")).join(" ");
    let words = format!("package --allow-dirty --no-verify {names}");
    let packed = cargo_command(&words, &[] as &[(&str, &str)])
        .stdout(Stdio::inherit())
        .output();
    let Ok(packed) = packed else { return false };
    let printed = String::from_utf8_lossy(&packed.stderr);
    print!("{printed}");
    packed.status.success() && !printed.contains("warning:")
}

/// Where cargo builds.
fn target() -> io::Result<PathBuf> {
    let given = env::var_os("CARGO_TARGET_DIR").unwrap_or_else(|| "target".into());
    std::path::absolute(given)
}

/// The manifest of a project that uses the packages.
fn manifest() -> String {
    let used = PACKAGES.map(|package| format!("{package} = \"{VERSION}\"\n"));
    format!(
        "[package]\nname = \"user\"\nversion = \"1.0.0\"\nedition = \"2024\"\n\n[dependencies]\n\
         tokio = {{ version = \"1\", features = [\"full\"] }}\n{}\n{}",
        used.concat(),
        patch()
    )
}

/// In place of what a registry has under these names.
fn patch() -> String {
    let paths = PACKAGES.map(|package| format!("{package}.path = \"../{package}-{VERSION}\"\n"));
    format!("[patch.crates-io]\n{}", paths.concat())
}
