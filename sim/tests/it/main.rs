//! The harness's tests, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

<<<<<<< HEAD
mod check;
=======
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "tests, their helpers included"
)]

>>>>>>> redis
mod differential;
mod history;
mod real_client;
mod speed;
mod world;
