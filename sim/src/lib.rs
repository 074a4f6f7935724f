//! A deterministic simulation that tries to break haechi-store-redis.

pub mod command;
pub mod fault;
pub mod fuzzing;

pub mod mutants;

pub mod runner;
pub mod schedule;

pub mod shrink;
pub mod torture;
pub mod world;
