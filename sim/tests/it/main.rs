//! The integration tests, in one binary.

mod differential;
mod real_client;
mod speed;
