//! The primitives for shared memory: from `std`, or from `loom` when the models
//! are built.
//!
//! All memory that threads of this crate share is accessed through this module,
//! so that a model checker sees every access.

#[cfg(haechi_loom)]
pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
#[cfg(not(haechi_loom))]
pub(crate) use std::sync::{Arc, Mutex, MutexGuard};

/// Locks `mutex`, also if a thread panicked while holding it: no code here
/// leaves shared state inconsistent across a possible panic.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
