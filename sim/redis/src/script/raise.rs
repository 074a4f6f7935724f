//! Errors that are raised in Rust and caught in Lua, and the source and line of an error.
//!
//! mlua passes a Rust error to Lua as an opaque value. Before a script sees it, the prelude turns it into what
//! redis-server raises: a table `{err = …}` or a string. Errors are raised in Rust, not in a Lua wrapper, so that the
//! script's function is the next stack frame, also for `return redis.call(…)`, and line numbers equal redis-server's.

use crate::reply::Reply;
use bytes::Bytes;
use mlua::{Lua, Value};

/// An error raised by a function of this crate.
#[derive(Clone, Debug)]
pub(super) struct Raised {
    pub(super) message: Bytes,
    /// Whether it is raised as `{err = message}` instead of a string.
    pub(super) table: bool,
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.message))
    }
}

impl std::error::Error for Raised {}

/// Raises `{err = message}`; the message begins with its code.
pub(super) fn table(message: impl Into<Bytes>) -> mlua::Error {
    mlua::Error::external(Raised {
        message: message.into(),
        table: true,
    })
}

/// Raises a string that begins with the caller's source and line, as C functions do.
pub(super) fn at_caller(lua: &Lua, message: &str) -> mlua::Error {
    let mut text = place(lua, 1)
        .map(|(source, line)| format!("{source}:{line}: "))
        .unwrap_or_default();
    text.push_str(message);
    mlua::Error::external(Raised {
        message: text.into(),
        table: false,
    })
}

/// A refusal as redis-server 6.2 gives it to a script: with the script's line, and the code after a hyphen.
pub(super) fn refusal_6_2(lua: &Lua, refusal: Reply) -> Reply {
    let Reply::Error(text) = &refusal else {
        return refusal;
    };
    let text = String::from_utf8_lossy(text);
    let text = match text.strip_prefix("ERR ") {
        Some(text) => text.to_owned(),
        None => format!("-{text}"),
    };
    match place(lua, 1) {
        Some((_, line)) => Reply::error(format!("@user_script: {line}: {text}")),
        None => Reply::error(text),
    }
}

/// The short source name and the current line of the Lua function at this level.
fn place(lua: &Lua, level: usize) -> Option<(String, usize)> {
    lua.inspect_stack(level, |frame| {
        let source = frame.source().short_src.map(|name| name.into_owned())?;
        Some((source, frame.current_line()?))
    })?
}

/// Where the error that is handled was raised: source and line in the innermost function of a script.
pub(super) fn origin(lua: &Lua) -> Option<(String, usize)> {
    // The levels before it are the handler, `error` or a function of this
    // crate, and functions of the prelude.
    (1..8).find_map(|level| {
        lua.inspect_stack(level, |frame| {
            let source = frame.source();
            if source.what == "C" || source.what == "tail" {
                return None;
            }
            let name = source.source?.into_owned();
            if name == super::engine::PRELUDE_NAME {
                None
            } else {
                Some((name, frame.current_line()?))
            }
        })?
    })
}

/// The error, if it was raised in Rust.
pub(super) fn raised(value: &Value) -> Option<Raised> {
    let Value::Error(error) = value else {
        return None;
    };
    Some(match error.downcast_ref::<Raised>() {
        Some(raised) => raised.clone(),
        None => Raised {
            message: error.to_string().into(),
            table: false,
        },
    })
}
