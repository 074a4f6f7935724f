//! The integration tests, in one binary.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, their helpers included"
)]

mod differential;
mod real_client;
mod speed;
