//! Output: results on stdout, everything else on stderr.

use std::{
    io::{self, BufWriter, IsTerminal, StdoutLock, Write},
    time::Duration,
};

use clap::error::ErrorKind;
use haechi_store_redis::{
    DurabilityStatus,
    clock::{Clock, SystemClock},
};
use serde::Serialize;

use crate::exit::{Exit, Failure};

/// The properties of the output streams.
#[derive(Debug)]
pub(crate) struct Console {
    /// Whether summaries are printed on stdout too, as JSON lines.
    json: bool,
    terminal: bool,
    colour: bool,
}

impl Console {
    pub(crate) fn new(json: bool) -> Self {
        let terminal = io::stderr().is_terminal();
        let colourless = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            json,
            terminal,
            colour: terminal && !colourless,
        }
    }

    /// Whether summaries are printed as JSON lines too.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Prints an error; `message` includes the next step.
    pub(crate) fn error(&self, message: &str) {
        self.say("error:", "31", message);
    }

    /// Prints a warning.
    pub(crate) fn warn(&self, message: &str) {
        self.say("warning:", "33", message);
    }

    /// Warns of a write that is applied and not as durable as asked.
    pub(crate) fn warn_unless_durable(&self, status: &DurabilityStatus) {
        if let DurabilityStatus::NotYet(why) = status {
            self.warn(&format!("applied, and not yet as durable as asked: {why}"));
        }
    }

    /// Prints text on stderr.
    pub(crate) fn note(&self, message: &str) {
        // A closed stderr is ignored.
        let _ = writeln!(io::stderr(), "{}", printable(message));
    }

    fn say(&self, label: &str, colour: &str, message: &str) {
        let message = printable(message);
        let _ = if self.colour {
            writeln!(io::stderr(), "\x1b[1;{colour}m{label}\x1b[0m {message}")
        } else {
            writeln!(io::stderr(), "{label} {message}")
        };
    }

    /// Shows progress on a terminal, if it takes longer than a second.
    pub(crate) fn progress(&self, what: &'static str) -> Progress {
        let clock = SystemClock::new();
        Progress {
            shown: self.terminal,
            what,
            next: clock.now() + Duration::from_secs(1),
            clock,
            drawn: false,
        }
    }
}

/// A line on the terminal that is redrawn, and removed at the end.
#[derive(Debug)]
pub(crate) struct Progress {
    shown: bool,
    what: &'static str,
    clock: SystemClock,
    next: Duration,
    drawn: bool,
}

impl Progress {
    /// `done` so far, of `all` if that is known.
    pub(crate) fn at(&mut self, done: u64, all: Option<u64>) {
        if !self.shown || self.clock.now() < self.next {
            return;
        }
        self.next = self.clock.now() + Duration::from_millis(200);
        self.drawn = true;
        let rate = done as f64 / self.clock.now().as_secs_f64();
        let of = all.map_or_else(String::new, |all| format!(" of {all}"));
        let _ = write!(
            io::stderr(),
            "\r\x1b[K{done}{of} {}, {rate:.0} a second",
            self.what
        );
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.drawn {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

/// Stdout, for commands that have nothing in flight while they write.
pub(crate) fn stdout() -> BufWriter<StdoutLock<'static>> {
    BufWriter::with_capacity(1 << 16, io::stdout().lock())
}

/// Writes `value` as one line of JSON.
pub(crate) fn json_line(out: &mut impl Write, value: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *out, value)?;
    out.write_all(b"\n")
}

/// Writes `value` to stdout as one line of JSON, at once.
pub(crate) fn answer(value: &impl Serialize) -> io::Result<()> {
    let mut out = stdout();
    json_line(&mut out, value)?;
    out.flush()
}

/// Prints the requested help, or the usage error.
pub(crate) fn usage(error: &clap::Error) -> Exit {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            Exit::Success
        }
        _ => {
            // The message repeats arguments, one of which may be a URL with a
            // password.
            let text = without_urls(&error.render().to_string());
            // An argument in place of a token may be a plaintext.
            let text = match std::env::args().any(|word| word == "vault") {
                true => without_values(&text),
                false => text,
            };
            let _ = io::stderr().write_all(printable(&text).as_bytes());
            Exit::Error
        }
    }
}

/// `text` with control characters escaped, except newlines: what Redis, a file
/// or an argument contains must not control the terminal.
fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() && c != '\n' {
            true => shown.extend(c.escape_default()),
            false => shown.push(c),
        }
    }
    shown
}

/// `text` with every URL cut after its scheme.
fn without_urls(text: &str) -> String {
    let mut parts = text.split("://");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let end = part
            .find(|letter: char| letter.is_whitespace() || letter == '\'')
            .unwrap_or(part.len());
        kept.push_str("://…");
        kept.push_str(&part[end..]);
    }
    kept
}

/// `text` with quoted words removed, except names of options.
fn without_values(text: &str) -> String {
    let mut kept = String::new();
    for (place, part) in text.split('\'').enumerate() {
        let is_quoted = place % 2 == 1;
        if place > 0 {
            kept.push('\'');
        }
        kept.push_str(match is_quoted && !part.starts_with(['-', '<']) {
            true => "…",
            false => part,
        });
    }
    kept
}

/// Whether the answer was printed, or stdout was closed; exit code and stderr
/// then still report it.
///
/// # Errors
///
/// When stdout cannot be written for another reason.
pub(crate) fn unless_closed(written: io::Result<()>) -> io::Result<()> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

/// The failure of a write whose outcome is unknown; its handle is printed on stdout.
pub(crate) fn unknown(handle: String, message: impl std::fmt::Display) -> Failure {
    #[derive(Serialize)]
    struct Unknown {
        outcome: &'static str,
        handle: String,
    }
    let line = Unknown {
        outcome: "unknown",
        handle,
    };
    // If stdout is closed, exit code and stderr still report it.
    let _ = json_line(&mut stdout(), &line);
    Failure::Message {
        exit: Exit::Unknown,
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{without_urls, without_values};

    /// Would catch a password that a usage message repeats.
    #[test]
    fn urls_are_left_out_of_usage_messages() {
        assert_eq!(
            without_urls("unexpected argument 'redis://u:p@h:1' found\n\nrediss://:p@h x"),
            "unexpected argument 'redis://…' found\n\nrediss://… x"
        );
        assert_eq!(without_urls("no argument"), "no argument");
    }

    /// Would catch a plaintext that a usage message repeats.
    #[test]
    fn values_are_left_out_of_usage_messages() {
        assert_eq!(
            without_values("unexpected argument '4111' found; use '--help' or 'reveal'"),
            "unexpected argument '…' found; use '--help' or '…'"
        );
    }
}
