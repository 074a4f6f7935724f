//! `cargo xtask soak`: the long forms of what the tests do briefly.

use std::time::{SystemTime, UNIX_EPOCH};

use clap::Args;

use crate::process::{cargo, redis_server};

/// Run the long forms of the tests
///
/// Simulated worlds for M minutes, with seeds that no run before had; torture
/// of a real redis-server for a tenth of that; the example axum_service in
/// 2,000 worlds; every planted bug from ten ranges of seeds; the checkers
/// against the general search on a million histories.
#[derive(Args)]
pub(crate) struct SoakArgs {
    /// How long simulated worlds run
    #[arg(long, value_name = "M", default_value_t = 30)]
    minutes: u64,
}

/// Runs the command.
#[expect(clippy::disallowed_methods, reason = "new seeds for every run")]
pub(crate) fn run(args: &SoakArgs) -> bool {
    let minutes = args.minutes;
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
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
        && cargo(
            "test --release -p haechi-sim --test it -- --ignored axum_service",
            &[],
        )
        && cargo("run --release -p haechi-sim -- mutants", &[])
        && cargo(
            "test --release -p haechi-history --test it cross_check",
            &[("HAECHI_HISTORIES", "1000000")],
        )
}
