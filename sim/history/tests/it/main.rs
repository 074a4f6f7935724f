//! The tests of histories and checkers, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // Helpers of tests are not #[test]s.

mod check;
mod history;
