//! Anchor sinks: a file, standard output, or one that the user supplies.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::{
    chain::{Anchor, Anchors, Position},
    files::{open_regular, sync_directory},
};

/// Takes anchors, one at a time and in order, each after its record was
/// applied. Its methods may block: they are called on a thread for that.
///
/// Any `FnMut(&Anchor) -> io::Result<()>` that is `Send` is one.
pub trait AnchorSink: Send {
    /// Writes one anchor.
    ///
    /// # Errors
    /// The anchor is then missing; its record is applied nevertheless. It is
    /// written again before later ones.
    fn write(&mut self, anchor: &Anchor) -> io::Result<()>;

    /// Makes the anchors given to [`write`](Self::write) durable; called after
    /// one or several of them. Only then do they count as written.
    ///
    /// # Errors
    /// All anchors since the last success are then missing, and are written
    /// again before later ones.
    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    /// The position of the last anchor in the sink, if the sink can read it,
    /// asked for once at the start: a chain without it was rolled back, and what
    /// follows it in the chain is anchored then.
    fn last(&self) -> Option<Position> {
        None
    }
}

impl<F> AnchorSink for F
where
    F: FnMut(&Anchor) -> io::Result<()> + Send,
{
    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        self(anchor)
    }
}

/// Anchors on standard output, one line of JSON each.
#[derive(Clone, Copy, Debug, Default)]
pub struct StdoutAnchors;

impl AnchorSink for StdoutAnchors {
    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        let mut stdout = io::stdout().lock();
        writeln!(stdout, "{}", anchor.to_line())?;
        stdout.flush()
    }
}

/// Where [`FileAnchors`] are kept: a file, or what behaves like one. What is written
/// goes to its end, wherever it is read.
pub trait AnchorMedium: Read + Write + Seek + Send {
    /// Makes durable what was written.
    ///
    /// # Errors
    /// What was written since the last success may be lost.
    fn sync(&mut self) -> io::Result<()>;
}

/// Opened for appending.
impl AnchorMedium for File {
    fn sync(&mut self) -> io::Result<()> {
        self.sync_data()
    }
}

/// Anchors appended to a file, one line of JSON each.
///
/// What the chain holds after the last anchor of an existing file is anchored
/// first; a new file begins at the next append. One writer per file;
/// verification reads several files together.
#[derive(Debug)]
pub struct FileAnchors<M = File> {
    file: M,
    last: Option<Anchor>,
    /// The file may end in the middle of a line.
    torn: bool,
}

impl FileAnchors {
    /// Opens the file at `path` for appending. A new file is created with mode
    /// 0600; an existing one keeps its mode. Reads back from the end to the
    /// last whole anchor; an incomplete line after it is ignored. Blocks for as
    /// long as the medium does.
    ///
    /// # Errors
    /// When the file cannot be opened, created or read, or a new file's
    /// directory cannot be synced.
    pub fn open(path: impl AsRef<Path>) -> io::Result<FileAnchors> {
        let mut options = OpenOptions::new();
        options.read(true).append(true).create(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(&path)?;
        if file.metadata()?.len() == 0 {
            sync_directory(path.as_ref())?;
        }
        FileAnchors::over(file)
    }
}

impl<M: AnchorMedium> FileAnchors<M> {
    /// Appends to `file`, which may have anchors.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn over(mut file: M) -> io::Result<FileAnchors<M>> {
        let torn = !ends_in_newline(&mut file)?;
        let last = last_anchor(&mut file)?;
        Ok(FileAnchors { file, last, torn })
    }
}

impl<M: AnchorMedium> AnchorSink for FileAnchors<M> {
    fn last(&self) -> Option<Position> {
        self.last.as_ref().map(Anchor::position)
    }

    fn write(&mut self, anchor: &Anchor) -> io::Result<()> {
        // A newline first, or this anchor would be lost with the torn line
        // before it.
        let newline = if self.torn { "\n" } else { "" };
        let line = format!("{newline}{}\n", anchor.to_line());
        self.torn = true;
        self.file.write_all(line.as_bytes())?;
        self.torn = false;
        self.last = Some(anchor.clone());
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync()
    }
}

fn ends_in_newline(file: &mut impl AnchorMedium) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(true);
    }
    file.seek(SeekFrom::End(-1))?;
    let mut last = [0];
    file.read_exact(&mut last)?;
    Ok(last == *b"\n")
}

/// Reads longer and longer ends of the file until one contains a complete
/// anchor.
fn last_anchor(file: &mut impl AnchorMedium) -> io::Result<Option<Anchor>> {
    let length = file.seek(SeekFrom::End(0))?;
    let mut window = 4096;
    loop {
        let start = length.saturating_sub(window);
        file.seek(SeekFrom::Start(start))?;
        let mut end = Vec::new();
        Read::by_ref(file)
            .take(length - start)
            .read_to_end(&mut end)?;
        let mut lines = end.split(|byte| *byte == b'\n');
        if start > 0 {
            // The first line may begin before the window.
            lines.next();
        }
        let found = lines.rev().find_map(Anchor::parse);
        if found.is_some() || start == 0 {
            return Ok(found);
        }
        window = window.saturating_mul(8);
    }
}

/// Adds the anchors of the file at `path` to `anchors`. Other lines are skipped
/// and counted there.
///
/// # Errors
/// When the file is absent, is not a regular file, or cannot be read.
pub fn read_anchor_file(path: impl AsRef<Path>, anchors: &mut Anchors) -> io::Result<()> {
    let file = open_regular(OpenOptions::new().read(true), path.as_ref())?;
    let mut file = BufReader::new(file);
    let mut line = Vec::new();
    while file.read_until(b'\n', &mut line)? > 0 {
        anchors.read_line(&line);
        line.clear();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::{EventHash, Sequence};

    fn place(sequence: u64) -> Position {
        anchor(sequence).position()
    }

    fn anchor(sequence: u64) -> Anchor {
        Anchor {
            sequence: Sequence::new(sequence).unwrap(),
            event_hash: EventHash::from_bytes([sequence as u8; 32]),
            timestamp: "2026-01-01T00:00:00.000Z".to_owned(),
        }
    }

    fn read(path: &Path) -> Anchors {
        let mut anchors = Anchors::new();
        read_anchor_file(path, &mut anchors).unwrap();
        anchors
    }

    #[test]
    fn a_file_is_created_private_and_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchors.jsonl");
        assert!(read_anchor_file(&path, &mut Anchors::new()).is_err());
        let mut sink = FileAnchors::open(&path).unwrap();
        assert_eq!(sink.last(), None);
        for sequence in 1..=200 {
            sink.write(&anchor(sequence)).unwrap();
        }
        assert_eq!(sink.last(), Some(place(200)));
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            let mode = std::fs::metadata(&path).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        assert_eq!(FileAnchors::open(&path).unwrap().last(), Some(place(200)));
        let anchors = read(&path);
        assert_eq!((anchors.len(), anchors.torn()), (200, 0));
    }

    #[test]
    fn only_a_torn_last_line_is_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchors.jsonl");
        let whole = anchor(1).to_line();
        std::fs::write(&path, format!("{whole}\n{}", &whole[..40])).unwrap();
        let mut sink = FileAnchors::open(&path).unwrap();
        assert_eq!(sink.last(), Some(place(1)));
        sink.write(&anchor(2)).unwrap();
        sink.write(&anchor(3)).unwrap();
        let anchors = read(&path);
        assert_eq!((anchors.len(), anchors.torn()), (3, 1));
    }

    #[test]
    fn a_complete_last_line_without_newline_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchors.jsonl");
        std::fs::write(&path, anchor(1).to_line()).unwrap();
        let mut sink = FileAnchors::open(&path).unwrap();
        assert_eq!(sink.last(), Some(place(1)));
        sink.write(&anchor(2)).unwrap();
        let anchors = read(&path);
        assert_eq!((anchors.len(), anchors.torn()), (2, 0));
    }

    #[test]
    fn the_last_anchor_is_found_before_invalid_data() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("anchors.jsonl");
        let rubbish = "x".repeat(100_000);
        let line = anchor(7).to_line();
        std::fs::write(&path, format!("{rubbish}\n{line}\n{rubbish}\n{rubbish}")).unwrap();
        assert_eq!(FileAnchors::open(&path).unwrap().last(), Some(place(7)));
        std::fs::write(&path, &rubbish).unwrap();
        assert_eq!(FileAnchors::open(&path).unwrap().last(), None);
    }

    #[test]
    fn a_closure_is_a_sink() {
        let mut taken = Vec::new();
        let mut sink = |anchor: &Anchor| {
            taken.push(anchor.clone());
            Ok(())
        };
        AnchorSink::write(&mut sink, &anchor(1)).unwrap();
        assert_eq!(taken, [anchor(1)]);
    }
}
