//! The key storage that all processes of a run share, as each of them reaches it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use haechi_store_redis::{
    clock::Clock,
    crypto::{Changed, KeyStorage, KeysError, MemoryKeys, Zeroizing},
};

/// The storage, shared by all processes.
pub(crate) type SharedKeys = MemoryKeys;

/// What is wrong with the way of one process to the storage.
#[derive(Clone, Debug, Default)]
pub(crate) struct KeyFaults(Arc<Counters>);

#[derive(Debug, Default)]
struct Counters {
    /// Faults by which nothing can be read or written.
    failing: AtomicU64,
    /// How long each access takes, in milliseconds.
    delay: AtomicU64,
}

impl KeyFaults {
    /// From now on nothing can be read or written, until it is undone.
    pub(crate) fn fail(&self) {
        self.0.failing.fetch_add(1, Ordering::Relaxed);
    }

    /// Undoes one [`fail`](Self::fail).
    pub(crate) fn recover(&self) {
        self.0.failing.fetch_sub(1, Ordering::Relaxed);
    }

    /// From now on each access takes so long, in milliseconds.
    pub(crate) fn delay(&self, millis: u64) {
        self.0.delay.store(millis, Ordering::Relaxed);
    }
}

/// The storage as one process reaches it.
pub(super) struct ProcessKeys<C> {
    pub(super) storage: SharedKeys,
    pub(super) faults: KeyFaults,
    pub(super) clock: C,
}

impl<C: Clock> ProcessKeys<C> {
    async fn access(&self) -> Result<(), KeysError> {
        let delay = self.faults.0.delay.load(Ordering::Relaxed);
        if delay > 0 {
            self.clock.sleep(Duration::from_millis(delay)).await;
        }
        if self.faults.0.failing.load(Ordering::Relaxed) > 0 {
            return Err(KeysError::Unreadable {
                at: self.place(),
                error: "the simulated disk fails".to_owned(),
            });
        }
        Ok(())
    }
}

impl<C: Clock> KeyStorage for ProcessKeys<C> {
    fn place(&self) -> String {
        self.storage.place()
    }

    async fn load(&self) -> Result<Option<Zeroizing<String>>, KeysError> {
        self.access().await?;
        self.storage.load().await
    }

    async fn update<R, F>(&self, change: F) -> Result<R, KeysError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static,
    {
        self.access().await?;
        self.storage.update(change).await
    }
}
