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

#[cfg(haechi_loom)]
#[cfg(test)]
mod append_protocol;
#[cfg(haechi_loom)]
#[cfg(test)]
mod apply_protocol;
#[cfg(haechi_loom)]
#[cfg(test)]
mod chain_backend;
#[cfg(haechi_loom)]
#[cfg(test)]
mod counters;
#[cfg(haechi_loom)]
#[cfg(test)]
mod explore;
#[cfg(haechi_loom)]
#[cfg(test)]
mod impatient;
#[cfg(haechi_loom)]
#[cfg(test)]
mod inputs;
#[cfg(haechi_loom)]
#[cfg(test)]
mod late_copy;
#[cfg(haechi_loom)]
#[cfg(test)]
mod link_slot;
#[cfg(haechi_loom)]
#[cfg(test)]
mod shared_observed;
#[cfg(haechi_loom)]
#[cfg(test)]
mod sink_queue;
#[cfg(haechi_loom)]
#[cfg(test)]
mod vault_backend;
