//! The harness's tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod axum_service;
mod check;
mod clients;
mod documents;
mod fuzzing;
mod production_scripts;
mod report;
mod serve;
mod serve_faults;
mod shrink;
mod snapshots;
mod system;
mod torture;
mod world;
mod world_vault;
