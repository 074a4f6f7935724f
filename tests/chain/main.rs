//! The chain math, against vectors, an independent implementation and itself.
//!
//! A binary of its own: it needs the library alone, so `cargo mutants` runs it too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod events;
mod properties;
mod vectors;
mod verdicts;
