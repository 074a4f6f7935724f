//! Replies of commands, as the Lua values that `redis.call` returns.

use crate::reply::{Protocol, Reply};
use mlua::{Lua, Table, Value};

/// A status becomes `{ok = …}`, an error `{err = …}`, and nil becomes false, in RESP3 nil.
pub(super) fn to_lua(lua: &Lua, reply: &Reply, protocol: Protocol) -> mlua::Result<Value> {
    Ok(match reply {
        Reply::Nil | Reply::NilArray if protocol == Protocol::Resp3 => Value::Nil,
        Reply::Boolean(value) => Value::Boolean(*value),
        Reply::Double(value) => {
            let table = lua.create_table()?;
            table.raw_set("double", value.0)?;
            Value::Table(table)
        }
        Reply::BigNumber(text) => single(lua, "big_number", text)?,
        Reply::Verbatim(format, text) => {
            let inner = lua.create_table()?;
            inner.raw_set("string", lua.create_string(text)?)?;
            inner.raw_set("format", lua.create_string(format)?)?;
            named(lua, "verbatim_string", inner)?
        }
        Reply::Map(items) | Reply::Keyed(items) => {
            let map = lua.create_table()?;
            for pair in items.chunks_exact(2) {
                map.raw_set(
                    to_lua(lua, &pair[0], protocol)?,
                    to_lua(lua, &pair[1], protocol)?,
                )?;
            }
            named(lua, "map", map)?
        }
        Reply::Set(items) => {
            let set = lua.create_table()?;
            for item in items {
                set.raw_set(to_lua(lua, item, protocol)?, true)?;
            }
            named(lua, "set", set)?
        }
        Reply::Scored(pairs) => {
            let items = pairs.iter().map(|(member, score)| {
                Reply::Array(vec![Reply::Bulk(member.clone()), Reply::Double(*score)])
            });
            array(lua, &items.collect::<Vec<_>>(), protocol)?
        }
        Reply::Integer(value) => Value::Integer(*value),
        Reply::Bulk(text) => Value::String(lua.create_string(text)?),
        Reply::Nil | Reply::NilArray => Value::Boolean(false),
        Reply::Status(text) => single(lua, "ok", text)?,
        Reply::Error(text) => single(lua, "err", text)?,
        Reply::Array(items) | Reply::Push(items) | Reply::Several(items) => {
            array(lua, items, protocol)?
        }
    })
}

fn array(lua: &Lua, items: &[Reply], protocol: Protocol) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(items.len(), 0)?;
    for (index, item) in items.iter().enumerate() {
        // By index: a RESP3 null is nil, and leaves its index unset.
        table.raw_set(index + 1, to_lua(lua, item, protocol)?)?;
    }
    Ok(Value::Table(table))
}

fn named(lua: &Lua, field: &str, inner: Table) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, inner)?;
    Ok(Value::Table(table))
}

pub(super) fn single(lua: &Lua, field: &str, text: &[u8]) -> mlua::Result<Value> {
    let table = lua.create_table_with_capacity(0, 1)?;
    table.raw_set(field, lua.create_string(text)?)?;
    Ok(Value::Table(table))
}
