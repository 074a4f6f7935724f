//! What files need besides `std`.

use std::{
    fs::{self, File, OpenOptions},
    io,
    path::Path,
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
