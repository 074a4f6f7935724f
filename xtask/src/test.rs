//! `cargo xtask test`: every check, in parts whose durations it prints.

use std::{
    num::NonZero,
    thread,
    time::{Duration, Instant},
};

use crate::{
    deps,
    figures::{self, FiguresArgs},
    process::{cargo, redis_server},
};

/// One part of `cargo xtask test`.
struct Part {
    name: &'static str,
    run: fn() -> bool,
}

const SIMULATION: &str = "run --release -p haechi-sim --";

const PARTS: &[Part] = &[
    Part {
        name: "redis-server",
        run: redis_server,
    },
    Part {
        name: "dependencies",
        run: deps::run,
    },
    Part {
        name: "format",
        run: || cargo("fmt --all --check", &[]),
    },
    Part {
        name: "lints",
        run: || {
            cargo(
                "clippy --workspace --all-targets --all-features -- -D warnings",
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
        run: tests,
    },
    Part {
        name: "models",
        run: models,
    },
    Part {
        name: "simulation",
        run: || {
            figures::run(&FiguresArgs::default())
                && ["audit --seeds 1500..2500", "vault --seeds 1500..1800"]
                    .iter()
                    .all(|worlds| cargo(&format!("{SIMULATION} run --workload {worlds}"), &[]))
        },
    },
    Part {
        name: "planted bugs",
        run: || cargo(&format!("{SIMULATION} mutants --ranges 1"), &[]),
    },
];

/// Runs every part and stops at the first that fails.
#[expect(clippy::disallowed_methods, reason = "this program measures real time")]
pub(crate) fn run() -> bool {
    let mut times: Vec<(&str, Duration)> = Vec::new();
    let mut failed = None;
    for part in PARTS {
        println!("== {}", part.name);
        let started = Instant::now();
        let passed = (part.run)();
        times.push((part.name, started.elapsed()));
        if !passed {
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
    failed.is_none()
}

/// Most tests wait for the servers that they started: twice as many run at a time as there
/// are processors.
fn tests() -> bool {
    let processors = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = (2 * processors).to_string();
    cargo(
        "test --workspace --all-features",
        &[("RUST_TEST_THREADS", &threads)],
    )
}

/// RUSTFLAGS replaces the flags of .cargo/config.toml, which the models do not
/// need; a target directory of their own keeps the two builds from invalidating
/// each other. A number that overflows is a failure.
const MODELS: &[(&str, &str)] = &[("RUSTFLAGS", "--cfg haechi_loom -C overflow-checks=on")];

/// Runs the loom models.
pub(crate) fn models() -> bool {
    cargo(
        "test --release -p haechi-models --lib --target-dir target/models",
        MODELS,
    )
}
