//! For whoever keeps a lock, a queue, a counter or a log in Redis, and wants to know what lost
//! replies, pauses, restarts and failovers do to it before they happen in production.
//!
//! The protocol runs in several simulated processes against a simulated Redis, under faults, and
//! what it answered is checked. Everything follows from a seed: a run that fails, fails again, and
//! is reduced to the few events that matter.
//!
//! For a protocol of your own, implement [`system::System`]; [`system`] says what is simulated.
//!
//! ```
#![doc = include_str!("system/counter.rs")]
//! ```
//!
//! The program `haechi-sim` does the same with the store `haechi-store-redis`, for those who
//! change or use that. Its commands are in [`command`]; [`plan`] is what a run does, [`world`] a
//! simulated run, [`torture`] one on a real redis-server, [`mutants`] are the planted bugs.

#[cfg(not(any(tokio_unstable, doc)))]
compile_error!(
    "without it one seed does not give one trace: build with RUSTFLAGS='--cfg tokio_unstable', or put \
     rustflags = [\"--cfg\", \"tokio_unstable\"] under [build] in .cargo/config.toml"
);

pub mod command;
pub mod fuzzing;
mod html;
pub mod mutants;
pub mod plan;
pub mod record;
pub mod runner;
pub mod served;
pub mod shrink;
pub mod system;
pub mod torture;
pub mod workload;
pub mod world;

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
