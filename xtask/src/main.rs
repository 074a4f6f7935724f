//! The project's own commands: `cargo xtask test` runs everything that must
//! hold, in parts whose times it prints.

mod mutants;

use std::{
    env,
    process::{Command, ExitCode, Stdio},
    time::{Duration, Instant},
};

const USAGE: &str = "\
usage: cargo xtask COMMAND
  test     everything that must hold: format, lints, documentation, tests, models, a simulation
  models   the loom models, under their own cfg and in a target directory of their own
  mutants [OPTION...]  cargo-mutants on the store's core, half an hour; options go to it, as --shard 0/20
  soak [--minutes M]   the long forms: simulated worlds for M minutes (default 30), of seeds that
           no run before has had, then a real redis-server under torture for a tenth of that, then
           planted bugs from ten places, then the checkers against the general search on a million
           histories";

/// One part of `cargo xtask test`.
struct Part {
    name: &'static str,
    run: fn() -> bool,
}

const PARTS: &[Part] = &[
    Part {
        name: "redis-server",
        run: redis_server,
    },
    Part {
        name: "format",
        run: || {
            cargo("fmt --all --check", &[])
                && cargo("fmt --manifest-path fuzz/Cargo.toml --check", &[])
        },
    },
    Part {
        name: "lints",
        run: || {
            cargo(
                "clippy --workspace --all-targets --all-features -- -D warnings",
                &[],
            ) && cargo(
                "clippy --manifest-path fuzz/Cargo.toml --target-dir target/fuzz -- -D warnings",
                &[],
            ) && cargo(
                "clippy --release -p haechi-models --all-targets --target-dir target/models -- -D warnings",
                MODELS,
            )
        },
    },
    Part {
        name: "documentation",
        run: || {
            cargo(
                "doc --workspace --no-deps --all-features",
                &[("RUSTDOCFLAGS", "-D warnings")],
            )
        },
    },
    Part {
        name: "tests",
        run: || cargo("test --workspace --all-features", &[]),
    },
    Part {
        name: "models",
        run: models,
    },
    Part {
        name: "simulation",
        run: || cargo("run --release -p haechi-sim -- run", &[]),
    },
    Part {
        name: "planted bugs",
        run: || cargo("run --release -p haechi-sim -- mutants --ranges 1", &[]),
    },
];

fn main() -> ExitCode {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    if let Err(error) = env::set_current_dir(root) {
        eprintln!("error: {root}: {error}");
        return ExitCode::from(2);
    }
    match env::args().nth(1).as_deref() {
        Some("test") => test(),
        Some("models") => exit(models()),
        Some("mutants") => exit(mutants::run(env::args().skip(2))),
        Some("soak") => match soak_minutes() {
            Ok(minutes) => exit(soak(minutes)),
            Err(wrong) => {
                eprintln!("error: {wrong}\n{USAGE}");
                ExitCode::from(2)
            }
        },
        _ => {
            eprintln!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn exit(fine: bool) -> ExitCode {
    if fine {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Runs every part, stops at the first that fails, and says how long each
/// took.
#[expect(clippy::disallowed_methods, reason = "this program measures real time")]
fn test() -> ExitCode {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failed = None;
    for part in PARTS {
        println!("== {}", part.name);
        let started = Instant::now();
        let fine = (part.run)();
        times.push((part.name, started.elapsed()));
        if !fine {
            failed = Some(part.name);
            break;
        }
    }
    println!("== times");
    for (name, time) in &times {
        println!("{name:<16}{:>6.0} s", time.as_secs_f64());
    }
    let total: Duration = times.iter().map(|(_, time)| *time).sum();
    println!("{:<16}{:>6.0} s", "in all", total.as_secs_f64());
    match failed {
        None => println!("all parts passed"),
        Some(name) => println!("failed: {name}"),
    }
    exit(failed.is_none())
}

/// Runs cargo, with further environment.
fn cargo(words: &str, environment: &[(&str, &str)]) -> bool {
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    println!("+ cargo {words}");
    Command::new(program)
        .args(words.split(' '))
        .envs(environment.iter().copied())
        // Set by the cargo that runs this program, for this program alone.
        .env_remove("CARGO_MANIFEST_DIR")
        .status()
        .is_ok_and(|status| status.success())
}

/// Setting RUSTFLAGS replaces the flags of .cargo/config.toml, which the
/// models do not need; a target directory of their own keeps the two builds
/// from undoing each other.
const MODELS: &[(&str, &str)] = &[("RUSTFLAGS", "--cfg haechi_loom")];

fn models() -> bool {
    cargo(
        "test --release -p haechi-models --lib --target-dir target/models",
        MODELS,
    )
}

fn soak_minutes() -> Result<u64, String> {
    match (env::args().nth(2).as_deref(), env::args().nth(3)) {
        (None, _) => Ok(30),
        (Some("--minutes"), Some(minutes)) => minutes
            .parse()
            .map_err(|_| format!("{minutes:?} is not a number of minutes")),
        (Some(other), _) => Err(format!("what is {other:?}?")),
    }
}

/// The long forms of what the tests do briefly.
#[expect(
    clippy::disallowed_methods,
    reason = "the seeds begin where nobody has been: at the time"
)]
fn soak(minutes: u64) -> bool {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let from = now.map_or(0, |now| now.as_millis()) as u64;
    let worlds = format!(
        "run --release -p haechi-sim -- run --seeds {from}..{} --twice 20 --keep-going --minutes {minutes}",
        from + 100_000_000,
    );
    let torture = format!(
        "run --release -p haechi-sim -- torture --seed {from} --seconds {}",
        (minutes * 6).max(10)
    );
    cargo(&worlds, &[])
        && redis_server()
        && cargo(&torture, &[])
        && cargo("run --release -p haechi-sim -- mutants", &[])
        && cargo(
            "test --release -p haechi-history cross_check",
            &[("HAECHI_HISTORIES", "1000000")],
        )
}

/// Whether there is a redis-server; installs one where that is possible.
fn redis_server() -> bool {
    let found = || {
        let program = env::var_os("REDIS_SERVER").unwrap_or_else(|| "redis-server".into());
        quietly(Command::new(program).arg("--version"))
    };
    if found() {
        return true;
    }
    println!("no redis-server; trying apt-get");
    let install = "export DEBIAN_FRONTEND=noninteractive; \
                   run() { if [ \"$(id -u)\" = 0 ]; then \"$@\"; else sudo -n \"$@\"; fi; }; \
                   run apt-get update -qq && run apt-get install -y -qq --no-install-recommends redis-server";
    quietly(Command::new("sh").args(["-c", install]));
    if !found() {
        println!(
            "redis-server is missing: install it (brew install redis, dnf install redis, …) or set REDIS_SERVER to its path"
        );
    }
    found()
}

fn quietly(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}
