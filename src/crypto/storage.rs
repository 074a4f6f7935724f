//! The trait `KeyStorage`: where the text of the keys is stored, a file or, for
//! tests and the simulation, memory.

use std::{fmt, future::Future};

use zeroize::Zeroizing;

use crate::sync::{Arc, Mutex, lock};

use super::KeysError;

/// The storage of the key file's text.
pub trait KeyStorage: Send + Sync + 'static {
    /// Its name in messages: `the key file /etc/keys.json`.
    fn place(&self) -> String;

    /// The text; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When the storage cannot be read.
    fn load(&self) -> impl Future<Output = Result<Option<Zeroizing<String>>, KeysError>> + Send;

    /// Passes the text to `change` and replaces it by the returned one, if any,
    /// while no other process does the same. A reader sees the old text or the
    /// new one, complete.
    ///
    /// Once begun, it may complete even if its future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `change`, with nothing written, and those of reading and
    /// writing. After [`KeysError::Unsettled`] it was written.
    fn update<R, F>(&self, change: F) -> impl Future<Output = Result<R, KeysError>> + Send
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static;
}

/// The text to write, `None` to keep it; and the result for the caller.
pub type Changed<R> = (Option<Zeroizing<String>>, R);

/// Keys in memory, for tests and simulations. Clones share them.
#[derive(Clone, Default)]
pub struct MemoryKeys {
    text: Arc<Mutex<Option<Zeroizing<String>>>>,
}

impl MemoryKeys {
    /// No keys yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Memory with a key file's text.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self {
            text: Arc::new(Mutex::new(Some(Zeroizing::new(text.into())))),
        }
    }
}

impl KeyStorage for MemoryKeys {
    fn place(&self) -> String {
        "memory".to_owned()
    }

    async fn load(&self) -> Result<Option<Zeroizing<String>>, KeysError> {
        Ok(lock(&self.text).clone())
    }

    async fn update<R, F>(&self, change: F) -> Result<R, KeysError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static,
    {
        let mut text = lock(&self.text);
        let (changed, answer) = change(text.as_ref().map(|text| text.as_str()))?;
        if changed.is_some() {
            *text = changed;
        }
        Ok(answer)
    }
}

impl fmt::Debug for MemoryKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MemoryKeys(…)")
    }
}
