//! Exit codes.

use std::{io, process::ExitCode};

use crate::console::Console;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Done and fine.
    Fine = 0,
    /// The answer is no.
    No = 1,
    /// It could not be asked.
    NotAsked = 2,
    /// The outcome of something is unknown.
    Unknown = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command ended early.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Something to be said on stderr, next step included.
    Said {
        /// What the process ends with.
        exit: Exit,
        /// In one line, without secrets.
        message: String,
    },
    /// Whoever read stdout has gone, as `head` does: nothing to complain of.
    StdoutClosed,
}

impl Failure {
    /// The answer is no.
    pub(crate) fn no(message: impl Into<String>) -> Self {
        Self::Said {
            exit: Exit::No,
            message: message.into(),
        }
    }

    /// It could not be asked.
    pub(crate) fn not_asked(message: impl Into<String>) -> Self {
        Self::Said {
            exit: Exit::NotAsked,
            message: message.into(),
        }
    }

    /// Says it, and gives the code to exit with.
    pub(crate) fn tell(self, console: &Console) -> Exit {
        match self {
            Self::Said { exit, message } => {
                console.error(&message);
                exit
            }
            Self::StdoutClosed => Exit::Fine,
        }
    }
}

/// For what is written to stdout; errors of other files say their names.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::StdoutClosed,
            _ => Self::not_asked(format!(
                "stdout could not be written: {error}; what it holds so far is incomplete: \
                 make room there and run the command again"
            )),
        }
    }
}
