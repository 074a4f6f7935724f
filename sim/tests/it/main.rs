//! The harness's tests, in one binary.

mod check;
mod history;
