//! The contention lock of the models, which may expire at any moment.

use loom::sync::{Arc, Condvar, Mutex, MutexGuard};

/// The lock of one server.
pub(crate) struct Lock {
    holder: Mutex<Option<u8>>,
    freed: Condvar,
}

/// One replica's access to it.
pub(crate) struct LockOf {
    lock: Arc<Lock>,
    number: u8,
    /// Whether it waits until it has the lock, rather than proceeding.
    waits: bool,
}

impl Lock {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            holder: Mutex::new(None),
            freed: Condvar::new(),
        })
    }

    pub(crate) fn of(lock: &Arc<Self>, number: u8, waits: bool) -> LockOf {
        LockOf {
            lock: lock.clone(),
            number,
            waits,
        }
    }

    /// Makes the lock expire.
    pub(crate) fn lapse(&self) {
        *self.holder() = None;
        self.freed.notify_all();
    }

    fn holder(&self) -> MutexGuard<'_, Option<u8>> {
        self.holder
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl LockOf {
    /// Takes the lock if it is free, and proceeds otherwise.
    pub(crate) fn lease(&self) {
        let mut holder = self.lock.holder();
        while self.waits && holder.is_some() {
            holder = self
                .lock
                .freed
                .wait(holder)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        holder.get_or_insert(self.number);
    }

    pub(crate) fn release(&self) {
        let mut holder = self.lock.holder();
        if *holder == Some(self.number) {
            *holder = None;
            self.lock.freed.notify_all();
        }
    }
}
