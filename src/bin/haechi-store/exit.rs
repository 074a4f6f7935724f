//! Exit codes.

use std::{io, process::ExitCode};

use crate::console::Console;

/// The exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Success = 0,
    /// A negative result: an invalid chain, a write that was refused.
    Negative = 1,
    /// A usage or I/O error.
    Error = 2,
    /// The outcome of a write is unknown.
    Unknown = 3,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}

/// Why a command failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// With a message for stderr, which includes the next step.
    Message {
        /// The exit code.
        exit: Exit,
        /// One line, without secrets.
        message: String,
    },
    /// Stdout was closed by its reader, as `head` does; not an error.
    StdoutClosed,
}

impl Failure {
    /// A negative result.
    pub(crate) fn negative(message: impl Into<String>) -> Self {
        Self::Message {
            exit: Exit::Negative,
            message: message.into(),
        }
    }

    /// A usage or I/O error.
    pub(crate) fn error(message: impl Into<String>) -> Self {
        Self::Message {
            exit: Exit::Error,
            message: message.into(),
        }
    }

    /// Prints the message and returns the exit code.
    pub(crate) fn print(self, console: &Console) -> Exit {
        match self {
            Self::Message { exit, message } => {
                console.error(&message);
                exit
            }
            Self::StdoutClosed => Exit::Success,
        }
    }
}

/// An error of stdout; messages about other files name them.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::BrokenPipe => Self::StdoutClosed,
            _ => Self::error(format!(
                "stdout could not be written: {error}; what it holds so far is incomplete: \
                 make room there and run the command again"
            )),
        }
    }
}
