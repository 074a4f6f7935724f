//! The primitives for shared memory: from `std`, or from `loom` when the models
//! are built.
//!
//! Everything in this crate that two threads may touch at once is built from
//! what this module hands out, so that a model checker sees every access. It
//! must not know what is being shared.

#[cfg(haechi_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(haechi_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks `mutex`, also when a thread panicked while it held it.
///
/// Nothing here leaves shared state half-changed across a point that can
/// panic, so a poisoned lock carries no news.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
