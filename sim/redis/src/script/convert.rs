//! Converts Lua values to replies, arguments of `redis.call` to words, and errors to their texts.

use super::answer;
use super::raise::{self, Raised};
use crate::number::{general, truncate};
use crate::reply::{Protocol, Reply};
use crate::value::Score;
use bytes::Bytes;
use mlua::{Lua, LuaString, Table, Value};

/// How deep a script's result may nest.
const MAX_DEPTH: usize = 1000;

/// Names of the fields that make a table a typed reply, as Lua strings that are made once.
pub(super) struct Shapes {
    err: LuaString,
    ok: LuaString,
    double: LuaString,
    big_number: LuaString,
    verbatim: LuaString,
    map: LuaString,
    set: LuaString,
}

impl Shapes {
    pub(super) fn new(lua: &Lua) -> mlua::Result<Shapes> {
        Ok(Shapes {
            err: lua.create_string("err")?,
            ok: lua.create_string("ok")?,
            double: lua.create_string("double")?,
            big_number: lua.create_string("big_number")?,
            verbatim: lua.create_string("verbatim_string")?,
            map: lua.create_string("map")?,
            set: lua.create_string("set")?,
        })
    }

    /// Converts a script's result: numbers lose their fraction, an array ends at its first nil; in RESP2 true is 1 and
    /// false is nil.
    ///
    /// Does not recurse: a thread's stack might be too small for the deepest tables.
    pub(super) fn to_reply(&self, value: &Value, protocol: Protocol) -> mlua::Result<Reply> {
        let mut open: Vec<Open> = Vec::new();
        let mut reply = match self.one(value, protocol)? {
            One::Reply(reply) => return Ok(reply),
            One::Open(container) => {
                open.push(container);
                None
            }
        };
        while let Some(container) = open.last_mut() {
            container.items.extend(reply.take());
            match container.next()? {
                Some(value) => match self.one(&value, protocol)? {
                    One::Reply(item) => container.items.push(item),
                    One::Open(_) if open.len() > MAX_DEPTH => {
                        reply = Some(Reply::fail("ERR reached lua stack limit"));
                    }
                    One::Open(inner) => open.push(inner),
                },
                None => {
                    reply = open
                        .pop()
                        .map(|container| (container.close)(container.items));
                }
            }
        }
        Ok(reply.unwrap_or(Reply::Nil))
    }

    /// Converts a value, or opens it if it is a table of values.
    fn one(&self, value: &Value, protocol: Protocol) -> mlua::Result<One> {
        Ok(match value {
            Value::String(text) => One::Reply(Reply::Bulk(copy(text))),
            Value::Integer(value) => One::Reply(Reply::Integer(*value)),
            Value::Number(value) => One::Reply(Reply::Integer(truncate(*value))),
            Value::Boolean(value) if protocol == Protocol::Resp3 => {
                One::Reply(Reply::Boolean(*value))
            }
            Value::Boolean(true) => One::Reply(Reply::Integer(1)),
            Value::Table(table) => return self.table(table),
            _ => One::Reply(Reply::Nil),
        })
    }

    fn table(&self, table: &Table) -> mlua::Result<One> {
        if let Value::String(text) = table.raw_get(&self.err)? {
            return Ok(One::Reply(Reply::Error(line(&text))));
        }
        if let Value::String(text) = table.raw_get(&self.ok)? {
            return Ok(One::Reply(Reply::Status(line(&text))));
        }
        if let Some(value) = number(&table.raw_get(&self.double)?) {
            return Ok(One::Reply(Reply::Double(Score(value))));
        }
        if let Value::String(text) = table.raw_get(&self.big_number)? {
            return Ok(One::Reply(Reply::BigNumber(copy(&text))));
        }
        if let Value::Table(verbatim) = table.raw_get(&self.verbatim)?
            && let Value::String(text) = verbatim.raw_get("string")?
            && let Value::String(format) = verbatim.raw_get("format")?
        {
            let mut three = *b"   ";
            let given = line(&format);
            three
                .iter_mut()
                .zip(given)
                .for_each(|(at, byte)| *at = byte);
            return Ok(One::Reply(Reply::Verbatim(three, copy(&text))));
        }
        let mut flat = Vec::new();
        let (close, rest): (fn(Vec<Reply>) -> Reply, Rest) =
            if let Value::Table(map) = table.raw_get(&self.map)? {
                for pair in map.pairs::<Value, Value>() {
                    let (key, value) = pair?;
                    flat.extend([key, value]);
                }
                (Reply::Map, Rest::Flat(flat.into_iter()))
            } else if let Value::Table(set) = table.raw_get(&self.set)? {
                for pair in set.pairs::<Value, Value>() {
                    flat.push(pair?.0);
                }
                (Reply::Set, Rest::Flat(flat.into_iter()))
            } else {
                (Reply::Array, Rest::Array(table.clone(), 0))
            };
        Ok(One::Open(Open {
            items: Vec::new(),
            close,
            rest,
        }))
    }
}

enum One {
    Reply(Reply),
    Open(Open),
}

/// A table that is being converted: the items so far, and the remaining ones.
struct Open {
    items: Vec<Reply>,
    /// Makes the reply of all items.
    close: fn(Vec<Reply>) -> Reply,
    rest: Rest,
}

enum Rest {
    /// The index of the last item that was converted.
    Array(Table, usize),
    Flat(std::vec::IntoIter<Value>),
}

impl Open {
    fn next(&mut self) -> mlua::Result<Option<Value>> {
        match &mut self.rest {
            Rest::Flat(values) => Ok(values.next()),
            Rest::Array(table, index) => {
                *index += 1;
                Ok(Some(table.raw_get(*index)?).filter(|value: &Value| !value.is_nil()))
            }
        }
    }
}

/// A text as C reads it: up to the first zero byte.
pub(super) fn c_string(text: &[u8]) -> &[u8] {
    text.split(|byte| *byte == 0).next().unwrap_or_default()
}

fn line(text: &LuaString) -> Bytes {
    Bytes::copy_from_slice(c_string(&text.as_bytes()))
}

/// A number of either kind.
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

/// An argument of `redis.call`: a string, or a number with 17 digits.
pub(super) fn argument(value: &Value) -> Option<Bytes> {
    match value {
        Value::String(text) => Some(copy(text)),
        other => number(other).map(|value| Bytes::from(general(value, 17))),
    }
}

/// An error as a script gets it from `pcall`.
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
        }) => answer::single(lua, "err", &message),
        Some(Raised {
            message,
            table: false,
        }) => Ok(Value::String(lua.create_string(message)?)),
        None => Ok(error),
    }
}

/// The text of an error that ended a script; it begins with its code.
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
