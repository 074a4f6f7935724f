//! The harness's tests, in one binary.

mod check;
mod differential;
mod history;
mod world;
