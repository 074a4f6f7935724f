//! Tests of the simulated server: against redis-server, and with the real client.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests are not #[test]s.

mod blocking;
mod client;
mod differential;
mod in_memory;
mod readme;
mod real_client;
mod speed;
mod wait;
