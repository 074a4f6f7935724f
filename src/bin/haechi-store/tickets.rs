//! The file of `audit append --tickets` and `vault tokenize --tickets`: a handle for each
//! line, durable before anything of it is sent.

use std::{
    fmt::Display,
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
};

use serde::Serialize;

use crate::exit::Failure;

/// The file, opened for appending.
pub(crate) struct Tickets {
    path: PathBuf,
    file: File,
}

#[derive(Serialize)]
struct Ticket {
    line: u64,
    handle: String,
}

impl Tickets {
    /// Opens the file at `path`; a new one is created with mode 0600.
    fn open(path: &Path) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let mut file = options.open(path)?;
        if file.seek(SeekFrom::End(0))? > 0 {
            file.seek(SeekFrom::End(-1))?;
            let mut last = [0];
            file.read_exact(&mut last)?;
            if last != *b"\n" {
                // The last ticket is torn: nothing was sent under it.
                file.write_all(b"\n")?;
            }
        } else if cfg!(unix) {
            let parent = path.parent().filter(|parent| *parent != Path::new(""));
            File::open(parent.unwrap_or(Path::new(".")))?.sync_all()?;
        }
        Ok(Self {
            path: path.to_owned(),
            file,
        })
    }

    /// The file's path.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// As [`open`](Self::open), for a command that has done nothing yet.
    pub(crate) fn open_first(path: &Path) -> Result<Self, Failure> {
        Self::open(path).map_err(|error| {
            Failure::error(format!(
                "the ticket file {} cannot be opened: {error}; nothing was written to Redis",
                path.display()
            ))
        })
    }

    /// Adds the handles of what these lines ask for. They are on disk when this returns.
    pub(crate) async fn write(&self, handles: &[(u64, impl Display)]) -> io::Result<()> {
        let mut text = Vec::new();
        for (line, handle) in handles {
            let handle = handle.to_string();
            let ticket = Ticket {
                line: *line,
                handle,
            };
            serde_json::to_writer(&mut text, &ticket)?;
            text.push(b'\n');
        }
        let mut file = self.file.try_clone()?;
        // On another thread: a slow disk must not delay the handling of Redis's replies.
        let written = tokio::task::spawn_blocking(move || {
            file.write_all(&text)?;
            file.sync_data()
        });
        written.await.map_err(io::Error::other)?
    }
}
