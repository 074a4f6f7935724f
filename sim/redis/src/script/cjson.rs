//! `cjson` of scripts: writes JSON as lua-cjson does, with its error texts. Reading it is in [`decode`].

use super::{convert, raise};
use crate::number;
use mlua::{Lua, LuaString, MultiValue, Table, Value};

mod decode;

/// The maximum nesting, for writing and reading.
const MAX_DEPTH: usize = 1000;

/// An array with a larger index than this, of which fewer than half are set, is an error.
const SPARSE_SAFE: usize = 10;
const SPARSE_RATIO: usize = 2;

/// `cjson`, with its default settings, which cannot be changed.
pub(super) fn library(lua: &Lua) -> mlua::Result<Table> {
    let cjson = lua.create_table()?;
    cjson.raw_set("null", Value::NULL)?;
    cjson.raw_set("_NAME", "cjson")?;
    cjson.raw_set("_VERSION", "2.1.0")?;
    let encode = |lua: &Lua, values: MultiValue| {
        let (1, Some(value)) = (values.len(), values.front()) else {
            return Err(raise::at_caller(
                lua,
                "bad argument #1 to 'encode' (expected 1 argument)",
            ));
        };
        let mut out = Vec::with_capacity(128);
        write(value, &mut out).map_err(|text| raise::at_caller(lua, &text))?;
        lua.create_string(out)
    };
    cjson.raw_set("encode", lua.create_function(encode)?)?;
    let decode = |lua: &Lua, values: MultiValue| {
        let (1, Some(value)) = (values.len(), values.front()) else {
            return Err(raise::at_caller(
                lua,
                "bad argument #1 to 'decode' (expected 1 argument)",
            ));
        };
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Integer(_) | Value::Number(_) => lua
                .coerce_string(value.clone())?
                .ok_or(mlua::Error::StackError)?,
            other => {
                let text = format!(
                    "bad argument #1 to 'decode' (string expected, got {})",
                    kind(other)
                );
                return Err(raise::at_caller(lua, &text));
            }
        };
        decode::decode(lua, &text)
    };
    cjson.raw_set("decode", lua.create_function(decode)?)?;
    Ok(cjson)
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Integer(_) | Value::Number(_) => "number",
        Value::LightUserData(_) | Value::UserData(_) | Value::Error(_) => "userdata",
        other => other.type_name(),
    }
}

/// A table that is being written: the remaining entries, with names if it is an
/// object.
struct Open {
    entries: std::vec::IntoIter<(Value, Value)>,
    array: bool,
    first: bool,
}

/// Writes a value. Does not recurse: a thread's stack might be too small for the deepest tables.
fn write(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let mut open: Vec<Open> = Vec::new();
    if let Some(table) = write_one(value, out)? {
        open.push(begin(table, 1, out)?);
    }
    while let Some(container) = open.last_mut() {
        let Some((key, value)) = container.entries.next() else {
            out.push(if container.array { b']' } else { b'}' });
            open.pop();
            continue;
        };
        if !std::mem::take(&mut container.first) {
            out.push(b',');
        }
        if !container.array {
            write_key(&key, out)?;
        }
        if let Some(table) = write_one(&value, out)? {
            open.push(begin(table, open.len() + 1, out)?);
        }
    }
    Ok(())
}

/// Writes a value that is not a table; returns a table, for the caller to write.
fn write_one<'a>(value: &'a Value, out: &mut Vec<u8>) -> Result<Option<&'a Table>, String> {
    match value {
        Value::Nil => out.extend(b"null"),
        Value::LightUserData(pointer) if pointer.0.is_null() => out.extend(b"null"),
        Value::Boolean(value) => out.extend(if *value { b"true".as_ref() } else { b"false" }),
        Value::Integer(_) | Value::Number(_) => write_number(value, out)?,
        Value::String(text) => write_string(text, out),
        Value::Table(table) => return Ok(Some(table)),
        other => {
            return Err(format!(
                "Cannot serialise {}: type not supported",
                kind(other)
            ));
        }
    }
    Ok(None)
}

fn write_key(key: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    match key {
        Value::String(text) => write_string(text, out),
        Value::Integer(_) | Value::Number(_) => {
            out.push(b'"');
            write_number(key, out)?;
            out.push(b'"');
        }
        other => {
            let kind = kind(other);
            return Err(format!(
                "Cannot serialise {kind}: table key must be a number or string"
            ));
        }
    }
    out.push(b':');
    Ok(())
}

fn write_number(value: &Value, out: &mut Vec<u8>) -> Result<(), String> {
    let value = convert::number(value).unwrap_or(f64::NAN);
    if !value.is_finite() {
        return Err("Cannot serialise number: must not be NaN or Inf".to_owned());
    }
    out.extend(number::general(value, 14).as_bytes());
    Ok(())
}

fn write_string(text: &LuaString, out: &mut Vec<u8>) {
    out.push(b'"');
    for byte in text.as_bytes().iter() {
        match byte {
            b'"' => out.extend(b"\\\""),
            b'\\' => out.extend(b"\\\\"),
            b'/' => out.extend(b"\\/"),
            8 => out.extend(b"\\b"),
            9 => out.extend(b"\\t"),
            10 => out.extend(b"\\n"),
            12 => out.extend(b"\\f"),
            13 => out.extend(b"\\r"),
            0..32 | 127 => out.extend(format!("\\u{byte:04x}").as_bytes()),
            byte => out.push(*byte),
        }
    }
    out.push(b'"');
}

fn begin(table: &Table, depth: usize, out: &mut Vec<u8>) -> Result<Open, String> {
    if depth > MAX_DEPTH {
        return Err(format!("Cannot serialise, excessive nesting ({depth})"));
    }
    let mut entries = Vec::new();
    for entry in table.pairs::<Value, Value>() {
        entries.push(entry.map_err(|error| error.to_string())?);
    }
    let length = array_length(&entries)?.unwrap_or(0);
    // An empty table is written as an object.
    let array = length > 0;
    if array {
        let mut places = vec![(Value::Nil, Value::Nil); length];
        for (key, value) in entries {
            if let Some(place) = index(&key).and_then(|index| places.get_mut(index - 1)) {
                place.1 = value;
            }
        }
        entries = places;
    }
    out.push(if array { b'[' } else { b'{' });
    Ok(Open {
        entries: entries.into_iter(),
        array,
        first: true,
    })
}

/// The key as an index of an array, from 1 on.
fn index(key: &Value) -> Option<usize> {
    match key {
        Value::Integer(key) => usize::try_from(*key).ok().filter(|key| *key > 0),
        _ => None,
    }
}

/// The length of the array; `None` if a key is not an index.
fn array_length(entries: &[(Value, Value)]) -> Result<Option<usize>, String> {
    let mut most = 0;
    for (key, _) in entries {
        match index(key) {
            Some(index) => most = most.max(index),
            None => return Ok(None),
        }
    }
    if most > entries.len() * SPARSE_RATIO && most > SPARSE_SAFE {
        return Err("Cannot serialise table: excessively sparse array".to_owned());
    }
    Ok(Some(most))
}
