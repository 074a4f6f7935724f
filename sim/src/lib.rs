//! A deterministic simulation that tries to break haechi-store-redis.

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
