//! Shared by the two `resolve` commands: their option, their answer, their failures.

use std::{fmt::Display, io::Write};

use haechi_store_redis::{
    Corrupt,
    audit::{IfOpen, Resolution, ResolveError},
    redis::Endpoint,
};
use serde_json::{Value, json};

use crate::{
    connection::place,
    console::{self, Console},
    exit::{Exit, Failure},
};

/// What to do about a write that is still open.
#[derive(Clone, Copy, clap::Args, Debug)]
pub(crate) struct IfOpenArg {
    /// If it is still open, write what stops it, and tell then
    #[arg(long)]
    settle: bool,
}

impl IfOpenArg {
    /// Refuses to begin a chain or vault by settling a write to it: nothing tells whether
    /// the prefix is the one that the write was for.
    pub(crate) fn unless_empty(
        self,
        is_empty: bool,
        prefix: &str,
        handle: &impl Display,
    ) -> Result<(), Failure> {
        match self.settle && is_empty {
            true => Err(console::unknown(
                handle.to_string(),
                format!(
                    "nothing was written: there is nothing under {prefix}, and settling would begin \
                     it. Give the prefix that the write was for; if it is this one, write to it \
                     first, and then ask again"
                ),
            )),
            false => Ok(()),
        }
    }
}

impl From<IfOpenArg> for IfOpen {
    fn from(arg: IfOpenArg) -> Self {
        match arg.settle {
            true => Self::Settle,
            false => Self::Leave,
        }
    }
}

/// Prints the answer; `details` are added to the summary.
pub(crate) fn tell(
    resolved: Resolution<u64>,
    details: Option<Value>,
    console: &Console,
) -> Result<Exit, Failure> {
    let (outcome, exit) = match resolved {
        Resolution::Applied(_) => ("applied", Exit::Success),
        Resolution::NotApplied => ("not_applied", Exit::Negative),
        Resolution::Open => ("open", Exit::Unknown),
    };
    let mut out = console::stdout();
    let written = writeln!(out, "{resolved}").and_then(|()| out.flush());
    drop(out);
    console::unless_closed(written)?;
    if resolved == Resolution::Open {
        console.note(
            "nothing was written; ask again later, or with --settle, which stops it if it is not applied",
        );
    }
    if console.json() {
        let mut summary = json!({ "outcome": outcome });
        if let (Value::Object(summary), Some(Value::Object(details))) = (&mut summary, details) {
            summary.extend(details);
        }
        console::answer(&json!({ "summary": summary }))?;
    }
    Ok(exit)
}

/// The failure if it was not found out for good. Where it is not known, stdout says so.
pub(crate) fn resolve_failure(
    client: &Endpoint,
    handle: &impl Display,
    error: &ResolveError,
) -> Failure {
    match error {
        ResolveError::Unavailable(_) => {
            Failure::error(format!("Redis at {}: {error}", place(client)))
        }
        ResolveError::Corrupt(Corrupt::RolledBack(_) | Corrupt::VaultRolledBack { .. }) => {
            console::unknown(handle.to_string(), error)
        }
        ResolveError::Corrupt(_) => Failure::negative(error.to_string()),
        _ => console::unknown(handle.to_string(), error),
    }
}
