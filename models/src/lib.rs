//! loom models of the production code that shares memory between threads, and
//! of the fence protocols that replicas follow against one Redis.
//!
//! Built and run by `cargo models`, which sets the private cfg `haechi_loom`:
//! the store's `sync` module then provides loom's mutexes instead of the
//! standard library's, and every schedule up to the bound is tried. Without the
//! cfg this crate is empty.
//!
//! Each model is a file whose first lines say what it proves and what it cannot
//! show. Each has at least one bug, planted beneath the unaltered production
//! code, that it must catch. A backend's step is atomic by definition here, as
//! scripts are in Redis.

#![cfg(all(haechi_loom, test))]

mod append_protocol;
mod apply_protocol;
mod chain;
mod counters;
mod explore;
mod impatient;
mod inputs;
mod late_copy;
mod link_slot;
mod lock;
mod shared_observed;
mod sink_queue;
mod vault;
