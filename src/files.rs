//! What files need besides `std`.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Write as _},
    path::{Path, PathBuf},
};

/// Opens a regular file, and refuses anything else.
pub(crate) fn open_regular(options: &OpenOptions, path: &Path) -> io::Result<File> {
    let refuse = || Err(io::Error::other("it is not a regular file"));
    // First, because opening a FIFO waits for its other end.
    if !fs::metadata(path)?.is_file() {
        return refuse();
    }
    let file = options.open(path)?;
    if !file.metadata()?.is_file() {
        return refuse();
    }
    Ok(file)
}

/// Makes a file that was created or renamed at `path` durable: its directory
/// names it after a crash, too.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}

/// Replaces the file at `path` by one with this text, which is fsynced first, or
/// leaves it as it was. The directory is not synced. The new file is private, with
/// `owner`'s owner. One caller at a time.
pub(crate) fn replace(path: &Path, text: &str, owner: Option<&fs::Metadata>) -> io::Result<()> {
    let temporary = beside(path, ".tmp");
    // An existing one was left by a crashed process.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write(&temporary, text, owner).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

fn write(path: &Path, text: &str, owner: Option<&fs::Metadata>) -> io::Result<()> {
    let mut file = make_private(path, owner)?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

/// Creates a file that only its owner can access, with `owner`'s owner:
/// a file that root replaces must not become root's.
///
/// Only a file created here changes its owner: an existing one may be a link to
/// a file of root's.
pub(crate) fn make_private(path: &Path, owner: Option<&fs::Metadata>) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, fchown};
        let file = options.mode(0o600).open(path)?;
        if let Some(owner) = owner
            && file.metadata()?.uid() != owner.uid()
        {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        Ok(file)
    }
    #[cfg(not(unix))]
    {
        let _ = owner;
        options.open(path)
    }
}

/// `path` with links resolved, so that what is replaced is the file and not a link
/// to it. The file may be absent.
pub(crate) fn resolved(path: &Path) -> io::Result<PathBuf> {
    match fs::canonicalize(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(match fs::read_link(path) {
            Ok(target) => path.parent().unwrap_or(Path::new("")).join(target),
            Err(_) => path.to_owned(),
        }),
        resolved => resolved,
    }
}

/// A locked file. Dropping it unlocks it; that the file is closed is not enough as long as a
/// child process, just forked, has it, too.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

/// The lock on the file at `path`, or its path if another process has it. It is on a file
/// beside it, `{name}.lock`, which is never removed: the file itself is replaced.
pub(crate) fn try_lock(path: &Path) -> io::Result<Result<Lock, PathBuf>> {
    let lock = beside(path, ".lock");
    let failed = |error: io::Error| io::Error::other(format!("{}: {error}", lock.display()));
    let owner = fs::metadata(path).ok();
    let file = match make_private(&lock, owner.as_ref()) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            open_regular(OpenOptions::new().write(true), &lock)
        }
        made => made,
    };
    let file = file.map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(Ok(Lock(file))),
        Err(TryLockError::WouldBlock) => Ok(Err(lock)),
        Err(TryLockError::Error(error)) => Err(failed(error)),
    }
}

/// `path` with `suffix` after its name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
