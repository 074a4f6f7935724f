//! A deterministic simulation that tries to break haechi-store-redis, or a system of your own.
//!
//! For a protocol of your own over Redis, implement [`system::System`]: it then runs in many
//! processes, under faults, one seed one trace, and what fails is cut down to the few events that
//! matter. [`system`] says what is simulated.
//!
//! ```
#![doc = include_str!("system/counter.rs")]
//! ```
//!
//! The program `haechi-sim`, whose commands are in [`command`], does that with the store:
//! [`plan`] is what a run does, [`world`] a simulated run, [`torture`] one on a real redis-server,
//! [`mutants`] are the planted bugs.

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
