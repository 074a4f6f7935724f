//! `cargo xtask bench`: the benchmarks that need a redis-server.

use clap::{Args, ValueEnum};

use crate::{
    Outcome,
    process::{cargo, redis_server},
};

/// Measure what contention costs, on a redis-server and in simulated time
///
/// Prints the tables of BENCHMARKS.md. Starts a redis-server of its own.
#[derive(Args)]
#[command(after_help = "Example: the tables of BENCHMARKS.md in half a minute
  cargo xtask bench --quick")]
pub(crate) struct BenchArgs {
    /// Which benchmarks
    #[arg(value_enum, value_name = "NAME", default_values_t = [Bench::FenceRetry])]
    names: Vec<Bench>,
    /// Take a fifth of the time; the figures vary more
    #[arg(long)]
    quick: bool,
}

#[derive(Clone, Copy, ValueEnum)]
#[value(rename_all = "snake_case")]
enum Bench {
    /// What a conflict at the fence costs, and how often contending replicas meet one
    FenceRetry,
    /// An append and a verification, compared with the least that the same bytes cost
    Append,
}

/// Runs the command.
pub(crate) fn run(args: &BenchArgs) -> Outcome {
    if !redis_server() {
        return Outcome::NotRun;
    }
    let quick = if args.quick { " -- --quick" } else { "" };
    args.names
        .iter()
        .all(|bench| {
            let name = match bench {
                Bench::FenceRetry => "fence_retry",
                Bench::Append => "append",
            };
            cargo(&format!("bench --bench {name}{quick}"), &[])
        })
        .into()
}
