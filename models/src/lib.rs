//! loom models of the production code that shares memory between threads, and
//! of the fence protocols that replicas follow against one Redis.
//!
//! Built and run by `cargo models`, which sets the private cfg `haechi_loom`:
//! the store's `sync` module then hands out loom's mutexes instead of the
//! standard library's, and every schedule up to the bound is tried. Without
//! the cfg this crate is empty.
//!
//! Each model is a file whose first lines say what it proves and what it
//! cannot show. Each comes with at least one bug, planted under the unaltered
//! production code, that it must catch: a model that cannot fail proves
//! nothing. None knows anything of Redis itself: a backend's step is atomic
//! because the model says so, which Redis' scripts are by their own nature.

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
