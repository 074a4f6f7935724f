//! `cargo xtask release-check`: what has to hold before a release and takes too long, or needs
//! too many tools, for `cargo xtask test`.

use std::{fs, io, process::Command};

use crate::{
    Outcome, packages,
    process::{cargo, succeeds},
    tarballs::{FLAGS, PACKAGES, Unpacked, patch, target},
};

/// One part, in the order in which they run.
struct Part {
    name: &'static str,
    run: fn() -> Result,
}

/// Whether it passed, or why it did not run.
type Result = std::result::Result<bool, String>;

const PARTS: &[Part] = &[
    Part {
        name: "committed",
        run: committed,
    },
    Part {
        name: "version",
        run: version,
    },
    Part {
        name: "policy",
        run: || deny("bans licenses sources"),
    },
    Part {
        name: "advisories",
        run: || deny("advisories"),
    },
    Part {
        name: "features",
        run: features,
    },
    Part {
        name: "rust-version",
        run: rust_version,
    },
    Part {
        name: "minimal versions",
        run: minimal_versions,
    },
    Part {
        name: "semver",
        run: semver,
    },
    Part {
        name: "packages",
        run: || match packages::run() {
            Outcome::NotRun => Err("see above".to_owned()),
            outcome => Ok(outcome == Outcome::Passed),
        },
    },
];

/// Runs every part, also after one that failed.
pub(crate) fn run() -> Outcome {
    let (mut outcome, mut lines) = (Outcome::Passed, Vec::new());
    for part in PARTS {
        println!("== {}", part.name);
        let result = (part.run)();
        let said = match &result {
            Ok(true) => "passed".to_owned(),
            Ok(false) => "FAILED".to_owned(),
            Err(why) => format!("not run: {why}"),
        };
        outcome = match (outcome, result) {
            (Outcome::Failed, _) | (_, Ok(false)) => Outcome::Failed,
            (_, Err(_)) => Outcome::NotRun,
            (so_far, Ok(true)) => so_far,
        };
        println!("{said}");
        lines.push(format!("{:<18}{said}", part.name));
    }
    println!("== release-check\n{}", lines.join("\n"));
    outcome
}

/// Nothing is uncommitted: a release is a commit.
fn committed() -> Result {
    let changes = stdout("git", "status --porcelain")?;
    print!("{changes}");
    Ok(changes.is_empty())
}

/// The tag of this commit, if it has one, is the version of the manifests, and the changelog has its
/// date.
fn version() -> Result {
    let version = env!("CARGO_PKG_VERSION");
    let tags = stdout("git", "tag --points-at HEAD")?;
    if tags.trim().is_empty() {
        println!("this commit has no tag");
        return Ok(true);
    }
    let changelog = fs::read_to_string("CHANGELOG.md").map_err(|error| error.to_string())?;
    let heading = changelog
        .lines()
        .find(|line| line.starts_with(&format!("## {version} (")));
    println!("tags: {}; CHANGELOG.md: {heading:?}", tags.trim());
    let is_tagged = tags.lines().any(|tag| tag == format!("v{version}"));
    let is_dated = heading.is_some_and(|line| !line.contains("unreleased"));
    Ok(is_tagged && is_dated)
}

/// deny.toml.
fn deny(checks: &str) -> Result {
    installed("cargo-deny")?;
    let words = format!("deny check --hide-inclusion-graph {checks}");
    let output = Command::new("cargo").args(words.split(' ')).output();
    let output = output.map_err(|error| error.to_string())?;
    let printed = String::from_utf8_lossy(&output.stderr);
    print!("{printed}{}", String::from_utf8_lossy(&output.stdout));
    if printed.contains("failed to fetch advisory database") {
        return Err("the advisory database cannot be reached".to_owned());
    }
    Ok(output.status.success())
}

/// Each feature alone, none, and all.
fn features() -> Result {
    installed("cargo-hack")?;
    let words = "hack clippy --each-feature -p haechi-store-redis -p redis-sim -- -D warnings";
    Ok(cargo(words, &[]))
}

/// The oldest Rust that the manifests name.
fn rust_version() -> Result {
    let toolchain = format!("{}.0", env!("CARGO_PKG_RUST_VERSION"));
    has_toolchain(&toolchain)?;
    let target = target().map_err(|error| error.to_string())?.join("msrv");
    let check = format!(
        "check --locked --all-features --target-dir {} {}",
        target.display(),
        names()
    );
    Ok(on(&toolchain, &check))
}

/// The oldest versions that the manifests allow of what they depend on directly.
fn minimal_versions() -> Result {
    has_toolchain("nightly")?;
    let check = || -> io::Result<bool> {
        let Some(unpacked) = Unpacked::new()? else {
            return Ok(false);
        };
        let members = PACKAGES
            .map(|package| format!("\"{package}-*\""))
            .join(", ");
        let manifest = format!(
            "[workspace]\nresolver = \"3\"\nmembers = [{members}]\n\n{}",
            patch("")
        );
        let path = unpacked.path().join("Cargo.toml");
        fs::write(&path, manifest)?;
        let at = format!("--manifest-path {}", path.display());
        let lock = format!("generate-lockfile -Z direct-minimal-versions {at}");
        let target = target()?.join("minimal");
        let check = format!(
            "check --locked --all-features {at} --target-dir {}",
            target.display()
        );
        Ok(on("nightly", &lock) && cargo(&check, FLAGS))
    };
    check().map_err(|error| error.to_string())
}

/// What is public, compared with the last tag before this commit. A first release has none.
fn semver() -> Result {
    if stdout("git", "rev-parse --is-shallow-repository")?.trim() == "true" {
        return Err("a shallow clone may lack tags: git fetch --unshallow --tags".to_owned());
    }
    if stdout("git", "tag --merged HEAD^")?.trim().is_empty() {
        println!("no tag before this commit: a first release changes no public API");
        return Ok(true);
    }
    let tag = stdout("git", "describe --tags --abbrev=0 HEAD^")?;
    installed("cargo-semver-checks")?;
    let words = format!("semver-checks --baseline-rev {} {}", tag.trim(), names());
    Ok(cargo(&words, &[]))
}

/// The packages, as options of cargo.
fn names() -> String {
    PACKAGES.map(|package| format!("-p {package}")).join(" ")
}

/// Runs cargo of a toolchain.
fn on(toolchain: &str, words: &str) -> bool {
    println!("+ cargo +{toolchain} {words}");
    let mut command = Command::new("rustup");
    command
        .args(["run", toolchain, "cargo"])
        .args(words.split(' '));
    command.status().is_ok_and(|status| status.success())
}

fn has_toolchain(name: &str) -> std::result::Result<(), String> {
    if succeeds(Command::new("rustup").args(["run", name, "cargo", "--version"])) {
        return Ok(());
    }
    Err(format!(
        "Rust {name} is missing: rustup toolchain install {name} --profile minimal"
    ))
}

fn installed(tool: &str) -> std::result::Result<(), String> {
    let subcommand = tool.strip_prefix("cargo-").unwrap_or(tool);
    if succeeds(Command::new("cargo").args([subcommand, "--version"])) {
        return Ok(());
    }
    Err(format!("{tool} is missing: cargo install --locked {tool}"))
}

/// What a program prints, if it succeeds.
fn stdout(program: &str, words: &str) -> std::result::Result<String, String> {
    let output = Command::new(program).args(words.split(' ')).output();
    let output = output.map_err(|error| format!("{program}: {error}"))?;
    match output.status.success() {
        true => Ok(String::from_utf8_lossy(&output.stdout).into_owned()),
        false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
    }
}
