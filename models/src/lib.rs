//! loom models of the production code that shares memory between threads.
//!
//! Built and run by `cargo models`, which sets the private cfg `haechi_loom`:
//! the store's `sync` module then hands out loom's mutexes instead of the
//! standard library's, and every schedule up to the bound is tried. Without
//! the cfg this crate is empty.

#[cfg(all(haechi_loom, test))]
mod sink_queue;
