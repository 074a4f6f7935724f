//! What files need besides `std`.

use std::{fs::File, io, path::Path};

/// Makes a file that was created or renamed at `path` durable: its directory
/// names it after a crash, too.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    if cfg!(not(unix)) {
        return Ok(());
    }
    let parent = path.parent().filter(|parent| *parent != Path::new(""));
    File::open(parent.unwrap_or(Path::new(".")))?.sync_all()
}
