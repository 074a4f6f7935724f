//! The trait `KeyStorage`: where the text of the keys is stored, a file or, for
//! tests and the simulation, memory. It must not know what the text says.

use std::{fmt, future::Future};

use zeroize::Zeroizing;

use crate::sync::{Arc, Mutex, lock};

use super::KeysError;

/// Where the text of the keys is kept.
pub trait KeyStorage: Send + Sync + 'static {
    /// The place, for messages: `the key file /etc/keys.json`.
    fn place(&self) -> String;

    /// The text; `None` if there is none.
    ///
    /// # Errors
    ///
    /// When that cannot be found out.
    fn load(&self) -> impl Future<Output = Result<Option<Zeroizing<String>>, KeysError>> + Send;

    /// Gives the text to `change` and puts the one that it returns, if any, in
    /// its place, while no other process does the same. A reader sees the old
    /// text or the new one, whole.
    ///
    /// Once begun, it may run to its end though its future is dropped.
    ///
    /// # Errors
    ///
    /// Those of `change`, with nothing written, and those of reading and
    /// writing. [`KeysError::Unsettled`] means that it was written.
    fn update<R, F>(&self, change: F) -> impl Future<Output = Result<R, KeysError>> + Send
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static;
}

/// The text to write, `None` for as it was; and what to tell the caller.
pub type Changed<R> = (Option<Zeroizing<String>>, R);

/// Keys in memory, for tests and simulations. Clones share them, as processes
/// share a file.
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

    /// A key file's text.
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
