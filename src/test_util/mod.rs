//! What tests of the store, and of what is built on it, need: stores with
//! hooks in between.
//!
//! Behind the feature `test-util`, off by default. Nothing outside this module
//! behaves differently because of it, and nothing outside it may use it.

mod hooked;

pub use hooked::{AuditHooks, Hooked, VaultHooks};
