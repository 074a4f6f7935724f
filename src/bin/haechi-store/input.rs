//! Lines from a pipe or a file, in bounded memory.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use haechi_store_redis::{
    chain::{Event, InvalidEvent, Limits},
    vault::MAX_PLAINTEXT,
};
use tokio::sync::mpsc;
use zeroize::Zeroizing;

/// Bytes read ahead of the current line.
const READ_AHEAD: usize = 1 << 16;
/// Parsed events are passed on in groups of at most so many, of which at most
/// [`GROUPS`] wait.
const GROUP: usize = 256;
const GROUPS: usize = 2;

/// The lines of a reader, with a maximum length.
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    max_bytes: usize,
    number: u64,
    text: Vec<u8>,
}

/// One line, without its newline.
pub(crate) struct Line<'a> {
    /// Counted from 1.
    pub(crate) number: u64,
    pub(crate) text: &'a [u8],
    /// Whether it ends in a newline; only the last line may not.
    pub(crate) ended: bool,
    /// Whether it is longer than the limit; `text` is then its beginning.
    pub(crate) cut: bool,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(reader: R, max_bytes: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(READ_AHEAD, reader),
            max_bytes,
            number: 0,
            text: Vec::new(),
        }
    }

    /// The next line; after one that was cut, its rest.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        self.text.clear();
        // Two bytes more than the limit: one to detect a longer line, one for
        // the newline.
        let limit = self.max_bytes as u64 + 2;
        let read = (&mut self.reader)
            .take(limit)
            .read_until(b'\n', &mut self.text)?;
        if read == 0 {
            return Ok(None);
        }
        self.number += 1;
        let ended = self.text.last() == Some(&b'\n');
        if ended {
            self.text.pop();
        }
        Ok(Some(Line {
            number: self.number,
            text: &self.text,
            ended,
            cut: self.text.len() > self.max_bytes,
        }))
    }

    /// Whether the next line is available without waiting.
    fn has_next(&self) -> bool {
        self.reader.buffer().contains(&b'\n')
    }
}

/// Opens `path`, or stdin for `-`.
pub(crate) fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    if path.as_os_str() == "-" {
        return Ok(Box::new(io::stdin()));
    }
    Ok(Box::new(File::open(path)?))
}

/// An event and its line.
pub(crate) type Numbered = (u64, Event);

/// Why reading ended early.
#[derive(Debug)]
pub(crate) enum BadInput {
    /// This line cannot be an event.
    Line { number: u64, error: InvalidEvent },
    /// Reading failed after so many lines.
    Read { after: u64, error: io::Error },
}

/// Events from stdin, read and parsed on another thread, a bounded number in
/// advance.
pub(crate) struct Events {
    groups: mpsc::Receiver<Result<Vec<Numbered>, BadInput>>,
    group: std::vec::IntoIter<Numbered>,
}

impl Events {
    /// Starts reading. Dropping it stops the thread at the next line.
    pub(crate) fn from_stdin() -> Self {
        let (sender, groups) = mpsc::channel(GROUPS);
        tokio::task::spawn_blocking(move || read_events(&sender));
        Self {
            groups,
            group: Vec::new().into_iter(),
        }
    }

    /// The next event if it is available.
    pub(crate) fn ready(&mut self) -> Option<Numbered> {
        self.group.next()
    }

    /// Waits for the next event; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Numbered>, BadInput> {
        loop {
            if let Some(event) = self.group.next() {
                return Ok(Some(event));
            }
            match self.groups.recv().await {
                Some(group) => self.group = group?.into_iter(),
                None => return Ok(None),
            }
        }
    }
}

/// Sends events until the end, the first bad line, or the receiver is dropped.
fn read_events(sender: &mpsc::Sender<Result<Vec<Numbered>, BadInput>>) {
    let limits = Limits::default();
    let mut lines = Lines::new(io::stdin(), limits.max_bytes);
    let (mut group, mut bytes, mut last) = (Vec::new(), 0, 0);
    let end = loop {
        match lines.next() {
            Ok(None) => break None,
            Err(error) => break Some(BadInput::Read { after: last, error }),
            Ok(Some(line)) => {
                last = line.number;
                if !line.text.trim_ascii().is_empty() {
                    match Event::from_json_slice(line.text, &limits) {
                        Ok(event) => {
                            bytes += line.text.len();
                            group.push((last, event));
                        }
                        Err(error) => {
                            break Some(BadInput::Line {
                                number: last,
                                error,
                            });
                        }
                    }
                }
            }
        }
        // What was read is passed on before waiting for more.
        let full = group.len() >= GROUP || bytes >= READ_AHEAD || !lines.has_next();
        if full && !group.is_empty() {
            bytes = 0;
            if sender
                .blocking_send(Ok(std::mem::take(&mut group)))
                .is_err()
            {
                return;
            }
        }
    };
    // A failed send means that the receiver was dropped.
    if !group.is_empty() && sender.blocking_send(Ok(group)).is_err() {
        return;
    }
    if let Some(end) = end {
        let _ = sender.blocking_send(Err(end));
    }
}

/// Plaintexts or tokens from stdin, one per line, read on another thread.
pub(crate) struct Texts {
    lines: mpsc::Receiver<Result<(u64, Zeroizing<String>), BadText>>,
}

/// Why reading ended early. The content is not shown.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BadText {
    /// It is longer than a plaintext may be.
    #[error(
        "line {number}: longer than {MAX_PLAINTEXT} bytes; neither this line nor any after it was tried"
    )]
    TooLong {
        /// From 1.
        number: u64,
    },
    /// It is not UTF-8.
    #[error("line {number}: not UTF-8; neither this line nor any after it was tried")]
    NotText {
        /// From 1.
        number: u64,
    },
    /// Reading failed after so many lines.
    #[error("stdin could not be read after line {after}: {error}; no line after it was tried")]
    Read {
        /// From 1.
        after: u64,
        /// The system's error.
        error: io::Error,
    },
}

impl Texts {
    /// Starts reading. Dropping it stops the thread at the next line.
    pub(crate) fn from_stdin() -> Self {
        // Each line can be as long as a plaintext.
        let (sender, lines) = mpsc::channel(8);
        tokio::task::spawn_blocking(move || {
            let mut lines = Lines::new(io::stdin(), MAX_PLAINTEXT);
            let mut last = 0;
            loop {
                let next = match lines.next() {
                    Ok(None) => return,
                    Ok(Some(line)) => {
                        last = line.number;
                        text(&line)
                    }
                    Err(error) => Err(BadText::Read { after: last, error }),
                };
                let is_last = next.is_err();
                if sender.blocking_send(next).is_err() || is_last {
                    return;
                }
            }
        });
        Self { lines }
    }

    /// Waits for the next line; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<(u64, Zeroizing<String>)>, BadText> {
        self.lines.recv().await.transpose()
    }
}

fn text(line: &Line<'_>) -> Result<(u64, Zeroizing<String>), BadText> {
    let number = line.number;
    if line.cut {
        return Err(BadText::TooLong { number });
    }
    match std::str::from_utf8(line.text) {
        Ok(text) => Ok((number, Zeroizing::new(text.to_owned()))),
        Err(_) => Err(BadText::NotText { number }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str, max_bytes: usize) -> Vec<(u64, String, bool, bool)> {
        let mut lines = Lines::new(text.as_bytes(), max_bytes);
        let mut all = Vec::new();
        while let Some(line) = lines.next().unwrap() {
            let text = String::from_utf8_lossy(line.text).into_owned();
            all.push((line.number, text, line.ended, line.cut));
            if line.cut {
                break;
            }
        }
        all
    }

    /// Would catch a limit that is off by one, and a lost last line.
    #[test]
    fn lines_are_cut_just_beyond_the_limit() {
        let all = lines("abc\n\nabcd\nab", 4);
        let short = |number, text: &str, ended| (number, text.to_owned(), ended, false);
        assert_eq!(
            all,
            [
                short(1, "abc", true),
                short(2, "", true),
                short(3, "abcd", true),
                short(4, "ab", false)
            ]
        );
        assert_eq!(lines("abcde\nx", 4).last().map(|line| line.3), Some(true));
        assert_eq!(lines("abcdefgh", 4).last().map(|line| line.3), Some(true));
        assert_eq!(lines("abcd", 4).last().map(|line| line.3), Some(false));
    }
}
