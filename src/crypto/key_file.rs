//! The key file on disk: its mode, and how it is replaced atomically.
//!
//! A change takes an advisory lock on a file beside it, `{name}.lock`, which is
//! never removed: the key file itself is replaced, so a lock on it would be on
//! the old file. The new text is written to `{name}.tmp`, synced and renamed
//! over the key file, and the directory is synced.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read as _},
    path::{Path, PathBuf},
    time::Duration,
};

use zeroize::{Zeroize as _, Zeroizing};

use crate::{
    clock::{Clock as _, SystemClock},
    files::{self, Lock, open_regular, sync_directory},
};

use super::{KeyStorage, KeysError, storage::Changed};

/// The largest file that is read: some 4,000 keys.
const MAX_BYTES: u64 = 1 << 20;

/// How long another process's change is waited for, and how often the lock is
/// tried.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);
const RETRY: Duration = Duration::from_millis(5);

/// Keys in a file that only its owner can read and write.
///
/// A symbolic link is followed: its target is replaced.
///
/// Not for simulations: it uses threads, the disk and the system's clock.
#[derive(Clone, Debug)]
pub struct KeyFile {
    path: PathBuf,
}

impl KeyFile {
    /// The file at `path`, which may not exist yet; its directory must.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into() }
    }
}

impl KeyStorage for KeyFile {
    fn place(&self) -> String {
        format!("the key file {}", self.path.display())
    }

    async fn load(&self) -> Result<Option<Zeroizing<String>>, KeysError> {
        let (path, place) = (self.path.clone(), self.place());
        let unreadable = KeysError::Unreadable {
            at: place.clone(),
            error: "the runtime is shutting down".to_owned(),
        };
        tokio::task::spawn_blocking(move || read(&path, &place))
            .await
            .unwrap_or(Err(unreadable))
    }

    async fn update<R, F>(&self, change: F) -> Result<R, KeysError>
    where
        R: Send + 'static,
        F: FnOnce(Option<&str>) -> Result<Changed<R>, KeysError> + Send + 'static,
    {
        let place = self.place();
        let (path, lock) = self.lock().await?;
        let unsettled = KeysError::Unsettled {
            at: place.clone(),
            error: "the runtime is shutting down".to_owned(),
        };
        tokio::task::spawn_blocking(move || {
            let answer = replace(&path, &place, change);
            drop(lock);
            answer
        })
        .await
        .unwrap_or(Err(unsettled))
    }
}

impl KeyFile {
    /// The file with links resolved, and the lock beside it.
    async fn lock(&self) -> Result<(PathBuf, Lock), KeysError> {
        let clock = SystemClock::new();
        loop {
            let (path, place) = (self.path.clone(), self.place());
            let tried = tokio::task::spawn_blocking(move || try_lock(&path, &place));
            match tried.await {
                Ok(Ok((path, Ok(lock)))) => return Ok((path, lock)),
                Ok(Ok((_, Err(lock)))) if clock.now() > LOCK_TIMEOUT => {
                    return Err(KeysError::Busy {
                        at: self.place(),
                        lock,
                    });
                }
                // Retrying is cheaper than a thread blocked by a process that
                // is stopped.
                Ok(Ok((_, Err(_)))) => clock.sleep(RETRY).await,
                Ok(Err(error)) => return Err(error),
                Err(_) => {
                    let error = io::Error::other("the runtime is shutting down");
                    return Err(not_writable(&self.place(), &error));
                }
            }
        }
    }
}

/// The file with links resolved, and the lock, or the lock's path if another
/// process has it.
fn try_lock(path: &Path, place: &str) -> Result<(PathBuf, Result<Lock, String>), KeysError> {
    // Processes that use different names for the file share one lock.
    let path = files::resolved(path).map_err(|error| unreadable(place, &error))?;
    let lock = files::try_lock(&path).map_err(|error| not_writable(place, &error))?;
    Ok((path, lock.map_err(|lock| lock.display().to_string())))
}

/// Changes the file; the caller has the lock.
fn replace<R>(
    path: &Path,
    place: &str,
    change: impl FnOnce(Option<&str>) -> Result<Changed<R>, KeysError>,
) -> Result<R, KeysError> {
    let text = read(path, place)?;
    let (changed, answer) = change(text.as_ref().map(|text| text.as_str()))?;
    let Some(changed) = changed else {
        return Ok(answer);
    };
    let owner = fs::metadata(path).ok();
    files::replace(path, &changed, owner.as_ref()).map_err(|error| not_writable(place, &error))?;
    sync_directory(path).map_err(|error| KeysError::Unsettled {
        at: place.to_owned(),
        error: error.to_string(),
    })?;
    Ok(answer)
}

fn read(path: &Path, place: &str) -> Result<Option<Zeroizing<String>>, KeysError> {
    let file = match open_regular(OpenOptions::new().read(true), path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(|error| unreadable(place, &error))?,
    };
    let corrupt = |what: &str| KeysError::Corrupt {
        at: place.to_owned(),
        what: what.to_owned(),
    };
    let metadata = file.metadata().map_err(|error| unreadable(place, &error))?;
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        let mode = metadata.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            return Err(KeysError::Exposed {
                at: place.to_owned(),
                mode,
            });
        }
    }
    if metadata.len() > MAX_BYTES {
        return Err(corrupt("it is longer than 1 MiB"));
    }
    // Room for all of it: a buffer that grows leaves a copy behind.
    let room = usize::try_from(metadata.len()).unwrap_or(0) + 1;
    let mut bytes = Zeroizing::new(Vec::with_capacity(room));
    file.take(MAX_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| unreadable(place, &error))?;
    match String::from_utf8(std::mem::take(&mut *bytes)) {
        Ok(text) => Ok(Some(Zeroizing::new(text))),
        Err(error) => {
            error.into_bytes().zeroize();
            Err(corrupt("it is not UTF-8"))
        }
    }
}

fn not_writable(place: &str, error: &io::Error) -> KeysError {
    KeysError::NotWritable {
        at: place.to_owned(),
        error: error.to_string(),
    }
}

fn unreadable(place: &str, error: &io::Error) -> KeysError {
    KeysError::Unreadable {
        at: place.to_owned(),
        error: error.to_string(),
    }
}
