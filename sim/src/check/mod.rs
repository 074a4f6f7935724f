//! Checkers: what a history proves about the store.

mod verdict;

pub use verdict::{Invariant, Verdict, Violation};
