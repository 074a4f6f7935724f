//! A deterministic simulation that tries to break haechi-store-redis.

pub mod check;
pub mod command;
pub mod fault;
pub mod fuzzing;
pub mod history;
pub mod mutants;
pub mod redis;
pub mod runner;
pub mod schedule;
pub mod server_process;
pub mod shrink;
pub mod torture;
pub mod world;
