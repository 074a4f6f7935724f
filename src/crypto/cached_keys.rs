//! A process's cache of the keys, with the encryptions that it has reserved
//! under the active one.
//!
//! A window is written to the storage before any of it is used, so that a crash
//! counts too many and never too few. A window is a number, not a range: the
//! rest is returned by subtraction, in any order of processes.

use std::time::Duration;

use crate::{
    clock::Clock,
    sync::{Arc, Mutex, lock},
};

use super::{
    Counting, DecryptError, EncryptError, KeyId, KeyStatus, KeyStorage, KeysError,
    document::{Key, LIMIT, Ring},
    manage,
};

/// Encryptions in a process's first and in its largest window. Small at first,
/// so that many short runs do not exhaust a key; larger later, so that a long
/// run seldom writes.
const FIRST_WINDOW: u64 = 1 << 10;
const LARGEST_WINDOW: u64 = 1 << 20;
/// How long a rotation by another process may go unnoticed.
const REFRESH: Duration = Duration::from_secs(5);

pub(crate) struct CachedKeys<K, C> {
    storage: K,
    clock: C,
    counting: Counting,
    state: Mutex<State>,
    /// Held while a window is reserved, so that waiting callers share it.
    reserving: tokio::sync::Mutex<()>,
}

struct State {
    ring: Arc<Ring>,
    /// By the monotonic clock.
    read_at: Duration,
    window: Option<Window>,
    next_size: u64,
}

/// Encryptions that are counted but not yet used.
struct Window {
    kid: KeyId,
    left: u64,
}

impl<K: KeyStorage, C: Clock> CachedKeys<K, C> {
    pub(crate) async fn open(storage: K, clock: C, counting: Counting) -> Result<Self, KeysError> {
        let ring = Arc::new(manage::read(&storage).await?);
        let state = State {
            ring,
            read_at: clock.now(),
            window: None,
            next_size: FIRST_WINDOW,
        };
        Ok(Self {
            storage,
            clock,
            counting,
            state: Mutex::new(state),
            reserving: tokio::sync::Mutex::new(()),
        })
    }

    /// The keys as last read.
    pub(crate) fn ring(&self) -> Arc<Ring> {
        lock(&self.state).ring.clone()
    }

    /// See [`LocalKeys::close`](super::LocalKeys::close).
    pub(crate) async fn close(&self) -> Result<(), KeysError> {
        let _reserving = self.reserving.lock().await;
        let window = lock(&self.state).window.take();
        match (window, self.counting) {
            (Some(Window { kid, left }), Counting::Persisted) if left > 0 => {
                manage::refund(&self.storage, kid, left).await
            }
            _ => Ok(()),
        }
    }

    /// See [`LocalKeys::status`](super::LocalKeys::status).
    pub(crate) fn status(&self) -> Vec<KeyStatus> {
        let state = lock(&self.state);
        let mut keys: Vec<_> = state
            .ring
            .keys()
            .iter()
            .map(|key| key.status.clone())
            .collect();
        if let (Counting::PerProcess, Some(window)) = (self.counting, &state.window) {
            for key in keys.iter_mut().filter(|key| key.kid == window.kid) {
                key.used = LIMIT - window.left;
            }
        }
        keys
    }

    /// Counts one encryption under the active key, and returns the key.
    pub(crate) async fn count_one(&self) -> Result<Arc<Key>, EncryptError> {
        self.refresh().await;
        if let Some(key) = self.take_one() {
            return Ok(key);
        }
        let _reserving = self.reserving.lock().await;
        if let Some(key) = self.take_one() {
            return Ok(key);
        }
        self.reserve().await
    }

    fn take_one(&self) -> Option<Arc<Key>> {
        let mut state = lock(&self.state);
        let key = state.ring.active()?.clone();
        let window = state.window.as_mut()?;
        if window.kid != key.status.kid || window.left == 0 {
            return None;
        }
        window.left -= 1;
        Some(key)
    }

    /// Counts a window in the storage, then takes its first encryption.
    async fn reserve(&self) -> Result<Arc<Key>, EncryptError> {
        let unavailable = |error: KeysError| match error {
            KeysError::NotWritable { .. } => EncryptError::NotCounted(error.to_string()),
            _ => EncryptError::Unavailable(error.to_string()),
        };
        let (left_over, size) = {
            let mut state = lock(&self.state);
            // Taken out before the storage is called, so that the rest is
            // returned only once, even if the call fails.
            let window = match self.counting {
                Counting::Persisted => state.window.take(),
                Counting::PerProcess => None,
            };
            (window, state.next_size)
        };
        let (ring, granted) = match self.counting {
            Counting::Persisted => {
                let left_over = left_over.map(|Window { kid, left }| (kid, left));
                manage::reserve(&self.storage, size, left_over)
                    .await
                    .map_err(unavailable)?
            }
            Counting::PerProcess => {
                let ring = manage::read(&self.storage).await.map_err(unavailable)?;
                let left = ring
                    .active()
                    .map(|key| LIMIT.saturating_sub(key.status.used));
                (ring, left.unwrap_or(0))
            }
        };
        let mut state = lock(&self.state);
        state.ring = Arc::new(ring);
        state.read_at = self.clock.now();
        let key = state
            .ring
            .active()
            .ok_or(EncryptError::NoActiveKey)?
            .clone();
        let kid = key.status.kid.clone();
        let is_spent = self.counting == Counting::PerProcess
            && state
                .window
                .as_ref()
                .is_some_and(|window| window.kid == kid);
        if granted == 0 || is_spent {
            return Err(EncryptError::Exhausted { kid });
        }
        state.next_size = (size * 2).min(LARGEST_WINDOW);
        state.window = Some(Window {
            kid,
            left: granted - 1,
        });
        Ok(key)
    }

    /// Reads the storage again if it is due.
    pub(crate) async fn refresh(&self) {
        let now = self.clock.now();
        let is_due = {
            let mut state = lock(&self.state);
            let is_due = now.saturating_sub(state.read_at) >= REFRESH;
            if is_due {
                // Set first, so that concurrent calls do not read too.
                state.read_at = now;
            }
            is_due
        };
        if is_due {
            // If the storage is unavailable, the known keys stay in use.
            let _ = self.reload().await;
        }
    }

    async fn reload(&self) -> Result<Arc<Ring>, KeysError> {
        let ring = Arc::new(manage::read(&self.storage).await?);
        let mut state = lock(&self.state);
        state.read_at = self.clock.now();
        state.ring = ring.clone();
        Ok(ring)
    }

    /// The key with this name; the storage is read again if it is unknown.
    pub(crate) async fn key(&self, kid: &KeyId) -> Result<Arc<Key>, DecryptError> {
        let known = lock(&self.state).ring.get(kid).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let ring = self
            .reload()
            .await
            .map_err(|error| DecryptError::Unavailable(error.to_string()))?;
        ring.get(kid)
            .cloned()
            .ok_or_else(|| DecryptError::UnknownKey { kid: kid.clone() })
    }
}
