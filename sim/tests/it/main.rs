//! The harness's tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod check;
mod differential;
mod fuzzing;
mod real_client;
mod serve;
mod shrink;
mod snapshots;
mod speed;
mod torture;
mod world;
mod world_vault;
