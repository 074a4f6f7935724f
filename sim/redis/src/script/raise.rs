//! Errors that cross between Lua and Rust.
//!
//! The binding hands a Rust error to Lua as an opaque value; the prelude turns it back into what redis-server raises,
//! a table `{err = …}` or a string, before a script sees it. Raising from Rust, rather than from a Lua wrapper, keeps
//! the script's own frame the next one up, also for `return redis.call(…)`, so that line numbers are redis-server's.

use bytes::Bytes;
use mlua::{Lua, Value};

/// What one of our functions raised.
#[derive(Clone, Debug)]
pub(super) struct Raised {
    pub(super) message: Bytes,
    /// Raised as `{err = message}`; as a plain string otherwise.
    pub(super) table: bool,
}

impl std::fmt::Display for Raised {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.message))
    }
}

impl std::error::Error for Raised {}

/// Raises `{err = message}`, code first.
pub(super) fn table(message: impl Into<Bytes>) -> mlua::Error {
    mlua::Error::external(Raised {
        message: message.into(),
        table: true,
    })
}

/// Raises a string with the caller's place in front, as C functions do.
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

/// A chunk's name without its mark, and the current line, of the Lua function at this level.
fn place(lua: &Lua, level: usize) -> Option<(String, usize)> {
    lua.inspect_stack(level, |frame| {
        let source = frame.source().short_src.map(|name| name.into_owned())?;
        Some((source, frame.current_line()?))
    })?
}

/// Where the error being handled came from: the innermost Lua function that is a script's.
pub(super) fn origin(lua: &Lua) -> Option<(String, usize)> {
    // A few levels lie between: this handler, `error` or one of our functions, a function of the prelude.
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

/// What an error value is, when it is one of ours.
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
