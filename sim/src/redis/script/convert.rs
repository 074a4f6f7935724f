//! Between Lua's values and Redis's replies.

use super::raise::{self, Raised};
use crate::redis::number::{general, truncate};
use crate::redis::reply::Reply;
use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value};

/// How deep a script's answer may nest.
const DEEPEST: usize = 1000;

/// Field names that give a table a meaning, made once.
pub(super) struct Shapes {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    map: LuaString,
    set: LuaString,
}

impl Shapes {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Shapes> {
        Ok(Shapes {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
        })
    }

    /// A script's answer: numbers lose their fraction, an array ends at its first nil, true is 1, false is nil.
    pub(super) fn to_reply(&self, value: &Value) -> mlua::Result<Reply> {
        self.reply(value, 0)
    }

    fn reply(&self, value: &Value, depth: usize) -> mlua::Result<Reply> {
        if depth > DEEPEST {
            return Ok(Reply::fail("ERR reached lua stack limit"));
        }
        Ok(match value {
            Value::String(text) => Reply::Bulk(copy(text)),
            Value::Integer(value) => Reply::Integer(*value),
            Value::Number(value) => Reply::Integer(truncate(*value)),
            Value::Boolean(true) => Reply::Integer(1),
            Value::Table(table) => return self.table(table, depth),
            _ => Reply::Nil,
        })
    }

    fn table(&self, table: &Table, depth: usize) -> mlua::Result<Reply> {
        if let Value::String(text) = table.raw_get(&self.err)? {
            return Ok(Reply::Error(line(&text)));
        }
        if let Value::String(text) = table.raw_get(&self.ok)? {
            return Ok(Reply::Status(line(&text)));
        }
        // RESP3's shapes, as RESP2 shows them.
        if let Some(value) = number(&table.raw_get(&self.double)?) {
            return Ok(Reply::text(general(value, 17)));
        }
        let mut items = Vec::new();
        if let Value::Table(map) = table.raw_get(&self.map)? {
            for pair in map.pairs::<Value, Value>() {
                let (key, value) = pair?;
                items.push(self.reply(&key, depth + 1)?);
                items.push(self.reply(&value, depth + 1)?);
            }
        } else if let Value::Table(set) = table.raw_get(&self.set)? {
            for pair in set.pairs::<Value, Value>() {
                items.push(self.reply(&pair?.0, depth + 1)?);
            }
        } else {
            for index in 1.. {
                match table.raw_get::<Value>(index)? {
                    Value::Nil => break,
                    value => items.push(self.reply(&value, depth + 1)?),
                }
            }
        }
        Ok(Reply::Array(items))
    }
}

/// What C sees of a text: nothing from the first zero byte on.
pub(super) fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn line(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(c_string(&text.as_bytes()))
}

/// A number, as Lua has it.
#[allow(
    clippy::cast_precision_loss,
    reason = "it was a double before the binding made an integer of it"
)]
pub(super) fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Integer(value) => Some(*value as f64),
        Value::Number(value) => Some(*value),
        _ => None,
    }
}

pub(super) fn copy(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(&text.as_bytes())
}

/// A command's answer, as a script gets it: nil is false, a status `{ok = …}`, an error `{err = …}`.
pub(super) fn to_lua(lua: &Lua, reply: &Reply) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Integer(value) => Value::Integer(*value),
        Reply::Bulk(text) => Value::String(lua.create_string(text)?),
        Reply::Nil | Reply::NilArray => Value::Boolean(false),
        Reply::Status(text) => single(lua, "ok", text)?,
        Reply::Error(text) => single(lua, "err", text)?,
        Reply::Array(items) => {
            let table = lua.create_table_with_capacity(items.len(), 0)?;
            for item in items {
                table.raw_push(to_lua(lua, item)?)?;
            }
            Value::Table(table)
        }
    })
}

pub(super) fn single(lua: &Lua, field: &str, text: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(Value::Table(table))
}

/// An argument of `redis.call`: a string as it is, a number with all its digits.
pub(super) fn argument(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(copy(text)),
        other => number(other).map(|value| Bytes::from(general(value, 17))),
    }
}

/// An error as `pcall` answers it to a script.
pub(super) fn plain(lua: &Lua, error: Value) -> mlua::Result<Value> {
    if let Some(raised) = raise::raised(&error) {
        return Ok(Value::String(lua.create_string(raised.message)?));
    }
    if let Value::Table(table) = &error
        && let text @ (Value::String(_) | Value::Integer(_) | Value::Number(_)) =
            table.raw_get("err")?
    {
        return Ok(text);
    }
    Ok(error)
}

/// An error as redis-server raises it.
pub(super) fn shaped(lua: &Lua, error: Value) -> mlua::Result<Value> {
    match raise::raised(&error) {
        Some(Raised {
            message,
            table: true,
        }) => single(lua, "err", &message),
        Some(Raised {
            message,
            table: false,
        }) => Ok(Value::String(lua.create_string(message)?)),
        None => Ok(error),
    }
}

/// The text of an error that ended a script, code first.
pub(super) fn message(error: &Value) -> mlua::Result<Bytes> {
    let text: Bytes = match error {
        Value::Error(_) => match raise::raised(error) {
            Some(Raised {
                message,
                table: true,
            }) => return Ok(message),
            Some(Raised {
                message,
                table: false,
            }) => message,
            None => Bytes::new(),
        },
        Value::Table(table) => {
            return Ok(match table.raw_get("err")? {
                Value::String(text) => line(&text),
                // redis-server 7.0.15 crashes on this one.
                _ => Bytes::from_static(b"ERR unknown error"),
            });
        }
        Value::String(text) => copy(text),
        Value::Nil => Bytes::from_static(b"nil"),
        Value::Boolean(value) => Bytes::from(value.to_string()),
        Value::Integer(value) => Bytes::from(value.to_string()),
        Value::Number(value) => Bytes::from(general(*value, 14)),
        other => Bytes::from(format!("{}: 0x0", other.type_name())),
    };
    Ok(Bytes::from([b"ERR ", c_string(&text)].concat()))
}
