//! The `redis` table of scripts, and `math.random`.

use super::engine::CurrentCall;
use super::{Sha, answer, convert, raise};
use crate::cmd;
use crate::durable::ServerKind;
use crate::reply::{Protocol, Reply};
use bytes::Bytes;
use mlua::{Lua, MultiValue, Table, Value};
use std::rc::Rc;

/// The function of `redis` by which a script asks whether it may run a command, from redis-server 7.0 on.
pub(super) const ACL_CHECK: &str = "acl_check_cmd";

/// `redis`: its functions and constants.
pub(super) fn redis(lua: &Lua, current: &CurrentCall) -> mlua::Result<Table> {
    let redis = lua.create_table()?;
    for (name, raises) in [("call", true), ("pcall", false)] {
        let current = Rc::clone(current);
        redis.raw_set(
            name,
            lua.create_function(move |lua, words: MultiValue| call(lua, &current, &words, raises))?,
        )?;
    }
    let may_run = Rc::clone(current);
    let acl_check_cmd = move |_: &Lua, words: MultiValue| {
        let words = arguments(&words)?;
        let current = may_run.borrow();
        let allowed = current
            .as_ref()
            .and_then(|call| cmd::may_run(&call.state, &words));
        allowed.ok_or_else(|| raise::table("ERR Invalid command passed to redis.acl_check_cmd()"))
    };
    redis.raw_set(ACL_CHECK, lua.create_function(acl_check_cmd)?)?;
    redis.raw_set("error_reply", lua.create_function(error_reply)?)?;
    redis.raw_set("status_reply", lua.create_function(status_reply)?)?;
    redis.raw_set("sha1hex", lua.create_function(sha1hex)?)?;
    redis.raw_set("log", lua.create_function(log)?)?;
    let switched = Rc::clone(current);
    redis.raw_set(
        "setresp",
        lua.create_function(move |_, words: MultiValue| set_resp(&switched, &words))?,
    )?;
    redis.raw_set("replicate_commands", lua.create_function(|_, ()| Ok(true))?)?;
    redis.raw_set("set_repl", lua.create_function(|_, _: Value| Ok(()))?)?;
    redis.raw_set("breakpoint", lua.create_function(|_, ()| Ok(false))?)?;
    redis.raw_set("debug", lua.create_function(|_, _: MultiValue| Ok(()))?)?;
    let levels = [
        ("LOG_DEBUG", 0),
        ("LOG_VERBOSE", 1),
        ("LOG_NOTICE", 2),
        ("LOG_WARNING", 3),
    ];
    let targets = [
        ("REPL_NONE", 0),
        ("REPL_AOF", 1),
        ("REPL_SLAVE", 2),
        ("REPL_REPLICA", 2),
        ("REPL_ALL", 3),
    ];
    for (name, value) in levels
        .into_iter()
        .chain(targets)
        .chain([("REDIS_VERSION_NUM", 0x0007_000f)])
    {
        redis.raw_set(name, value)?;
    }
    redis.raw_set("REDIS_VERSION", cmd::VERSION)?;
    Ok(redis)
}

fn arguments(words: &MultiValue) -> mlua::Result<Vec<Bytes>> {
    if words.is_empty() {
        return Err(raise::table(
            "ERR Please specify at least one argument for this redis lib call",
        ));
    }
    words
        .iter()
        .map(convert::argument)
        .collect::<Option<_>>()
        .ok_or_else(|| {
            raise::table("ERR Lua redis lib command arguments must be strings or integers")
        })
}

fn call(lua: &Lua, current: &CurrentCall, words: &MultiValue, raises: bool) -> mlua::Result<Value> {
    let (reply, protocol) = match arguments(words) {
        Ok(words) => match current.borrow_mut().as_mut() {
            Some(call) => (
                cmd::execute_in_script(&mut call.state, &mut call.caller, &words).unwrap_or_else(
                    |refusal| match call.state.kind {
                        ServerKind::Redis62 => raise::refusal_6_2(lua, refusal),
                        _ => refusal,
                    },
                ),
                call.caller.session.protocol(),
            ),
            None => (
                Reply::fail("ERR redis.call/pcall can only be called inside a script invocation"),
                Protocol::Resp2,
            ),
        },
        Err(error) if raises => return Err(error),
        Err(error) => return convert::shaped(lua, Value::Error(Box::new(error))),
    };
    match reply {
        Reply::Error(text) if raises => Err(raise::table(text)),
        reply => answer::to_lua(lua, &reply, protocol),
    }
}

const WRONG_ARGUMENTS: &[u8] = b"ERR wrong number or type of arguments";

/// The only argument, if it is a string.
fn only_string(words: &MultiValue) -> Option<Bytes> {
    match (words.len(), words.front()) {
        (1, Some(Value::String(text))) => Some(convert::copy(text)),
        _ => None,
    }
}

fn error_reply(lua: &Lua, words: MultiValue) -> mlua::Result<Value> {
    let Some(text) = only_string(&words) else {
        return answer::single(lua, "err", WRONG_ARGUMENTS);
    };
    let text = text.strip_prefix(b"-").unwrap_or(&text);
    let end = text
        .iter()
        .rposition(|byte| !matches!(byte, b'\r' | b'\n'))
        .map_or(0, |last| last + 1);
    let text = convert::c_string(&text[..end]);
    // A text of one word has no code, so it gets one.
    let text = if text.contains(&b' ') {
        text.to_vec()
    } else {
        [b"ERR ", text].concat()
    };
    answer::single(lua, "err", &text)
}

fn status_reply(lua: &Lua, words: MultiValue) -> mlua::Result<Value> {
    match only_string(&words) {
        Some(text) => answer::single(lua, "ok", &text),
        None => answer::single(lua, "err", WRONG_ARGUMENTS),
    }
}

fn sha1hex(_: &Lua, words: MultiValue) -> mlua::Result<String> {
    match (words.len(), words.front()) {
        (1, Some(value)) => {
            let text = match value {
                Value::String(text) => convert::copy(text),
                other => convert::argument(other).unwrap_or_default(),
            };
            Ok(Sha::of(&text).as_str().to_owned())
        }
        _ => Err(raise::table("ERR wrong number of arguments")),
    }
}

/// Only checks its arguments: a simulated server writes no log.
fn log(_: &Lua, words: MultiValue) -> mlua::Result<()> {
    if words.len() < 2 {
        return Err(raise::table(
            "ERR redis.log() requires two arguments or more.",
        ));
    }
    match words.front() {
        Some(Value::Integer(0..=3)) => Ok(()),
        Some(Value::Integer(_) | Value::Number(_)) => Err(raise::table("ERR Invalid debug level.")),
        _ => Err(raise::table(
            "ERR First argument must be a number (log level).",
        )),
    }
}

/// Switches the running script to RESP2 or RESP3. Each script starts with RESP2.
fn set_resp(current: &CurrentCall, words: &MultiValue) -> mlua::Result<()> {
    let (1, Some(wanted)) = (words.len(), words.front()) else {
        return Err(raise::table("ERR redis.setresp() requires one argument."));
    };
    // Whatever Lua reads as a number, without its fraction.
    let wanted = match wanted {
        Value::String(text) => text.to_str().ok().and_then(|text| text.trim().parse().ok()),
        other => convert::number(other),
    };
    let protocol = match wanted.map(crate::number::truncate) {
        Some(2) => Protocol::Resp2,
        Some(3) => Protocol::Resp3,
        _ => return Err(raise::table("ERR RESP version must be 2 or 3.")),
    };
    if let Some(call) = current.borrow_mut().as_mut() {
        call.caller.session.protocol = protocol;
    }
    Ok(())
}

/// The generator of redis-server's `math.random`: drand48, which starts from a fixed seed with the server.
#[derive(Clone, Copy)]
pub(crate) struct Random(u64);

impl Default for Random {
    fn default() -> Self {
        Random(0x1234_abcd_330e)
    }
}

impl Random {
    fn seeded(seed: i32) -> Random {
        Random((u64::from(seed.cast_unsigned()) << 16) | 0x330e)
    }

    fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_mul(0x5_deec_e66d).wrapping_add(0xb) & 0xffff_ffff_ffff;
        u32::try_from(self.0 >> 17).unwrap_or_default()
    }

    /// From 0 to less than 1.
    fn unit(&mut self) -> f64 {
        const MOST: u32 = i32::MAX.cast_unsigned();
        f64::from(self.next() % MOST) / f64::from(MOST)
    }
}

/// `math.random` and `math.randomseed`.
pub(super) fn random(lua: &Lua, current: &CurrentCall, native: &Table) -> mlua::Result<()> {
    let drawing = Rc::clone(current);
    let draw = move |lua: &Lua, bounds: MultiValue| {
        let unit = drawing
            .borrow_mut()
            .as_mut()
            .map_or(0.0, |call| call.state.random.unit());
        let bounds: Vec<f64> = bounds
            .iter()
            .map(|bound| convert::number(bound).unwrap_or(0.0).trunc())
            .collect();
        match bounds[..] {
            [] => Ok(unit),
            [most] if most >= 1.0 => Ok((unit * most).floor() + 1.0),
            [_] => Err(raise::at_caller(
                lua,
                "bad argument #1 to 'random' (interval is empty)",
            )),
            [least, most] if least <= most => Ok((unit * (most - least + 1.0)).floor() + least),
            [_, _] => Err(raise::at_caller(
                lua,
                "bad argument #2 to 'random' (interval is empty)",
            )),
            _ => Err(raise::at_caller(lua, "wrong number of arguments")),
        }
    };
    native.raw_set("random", lua.create_function(draw)?)?;
    let seeding = Rc::clone(current);
    let seed = move |_: &Lua, seed: f64| {
        if let Some(call) = seeding.borrow_mut().as_mut() {
            #[allow(clippy::cast_possible_truncation, reason = "a seed is its low 32 bits")]
            let seed = crate::number::truncate(seed) as i32;
            call.state.random = Random::seeded(seed);
        }
        Ok(())
    };
    native.raw_set("randomseed", lua.create_function(seed)?)
}
