//! The Lua engine of a thread.

use super::{Sha, cjson, convert, library, raise};
use crate::cmd::ScriptCaller;
use crate::reply::{Outcome, Protocol, Reply};
use crate::state::State;
use bytes::Bytes;
use mlua::chunk::ChunkMode;
use mlua::{Function, Lua, LuaOptions, StdLib, Table, Value};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) const PRELUDE_NAME: &str = "@prelude";

/// Compiled scripts kept; a test that makes up thousands must not fill the memory.
const KEPT: usize = 1024;

/// What a running script works on.
pub(super) struct Call {
    pub(super) state: Box<State>,
    pub(super) caller: ScriptCaller,
}

/// Where the running script's call is; empty between scripts.
pub(super) type Slot = Rc<RefCell<Option<Call>>>;

/// How the last script failed, and where.
type Failure = Rc<RefCell<Option<(Bytes, Option<(String, usize)>)>>>;

pub(super) struct Engine {
    lua: Lua,
    /// The table behind the scripts' globals; KEYS and ARGV go there.
    base: Table,
    runner: Function,
    functions: RefCell<BTreeMap<Sha, Function>>,
    slot: Slot,
    failure: Failure,
    shapes: convert::Shapes,
}

thread_local! {
    static ENGINE: mlua::Result<Engine> = Engine::new();
}

/// Lends the thread's engine, made at first use.
pub(super) fn with<T>(use_engine: impl FnOnce(&Engine) -> T) -> Result<T, Reply> {
    ENGINE.with(|engine| match engine {
        Ok(engine) => Ok(use_engine(engine)),
        Err(error) => Err(Reply::error(format!("ERR no Lua engine: {error}"))),
    })
}

impl Engine {
    fn new() -> mlua::Result<Engine> {
        // No os, io, package or debug: the prelude picks from the rest.
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let slot = Slot::default();
        let failure = Failure::default();

        let native = lua.create_table()?;
        native.raw_set("redis", library::redis(&lua, &slot)?)?;
        native.raw_set("cjson", cjson::library(&lua)?)?;
        library::random(&lua, &slot, &native)?;
        native.raw_set(
            "plain",
            lua.create_function(|lua, error: Value| convert::plain(lua, error))?,
        )?;
        native.raw_set(
            "shaped",
            lua.create_function(|lua, error: Value| convert::shaped(lua, error))?,
        )?;
        let failed = Rc::clone(&failure);
        let handler = lua.create_function(move |lua, error: Value| {
            failed.replace(Some((convert::message(&error)?, raise::origin(lua))));
            Ok(())
        })?;
        native.raw_set("handler", handler)?;

        let prelude = lua.load(include_str!("prelude.lua")).set_name(PRELUDE_NAME);
        let (globals, base, runner): (Table, Table, Function) =
            prelude.into_function()?.call(native)?;
        // Also what `loadstring` gives its chunks.
        lua.set_globals(globals)?;
        let shapes = convert::Shapes::new(&lua)?;
        Ok(Engine {
            lua,
            base,
            runner,
            functions: RefCell::default(),
            slot,
            failure,
            shapes,
        })
    }

    /// The function of a script compiled before.
    pub(super) fn known(&self, sha: &Sha) -> Option<Function> {
        self.functions.borrow().get(sha).cloned()
    }

    /// The function that a script compiles to.
    pub(super) fn function(&self, sha: Sha, body: &[u8]) -> Result<Function, Reply> {
        if let Some(function) = self.known(&sha) {
            return Ok(function);
        }
        let chunk = self
            .lua
            .load(body)
            .set_name("@user_script")
            .set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| {
            let text = match error {
                // The binding refuses a compiled chunk with a text of its own.
                _ if body.first() == Some(&27) => {
                    "user_script:1: unexpected symbol near 'char(27)'".to_owned()
                }
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            Reply::error(format!("ERR Error compiling script (new function): {text}"))
        })?;
        let mut functions = self.functions.borrow_mut();
        if functions.len() >= KEPT {
            functions.clear();
        }
        functions.insert(sha, function.clone());
        Ok(function)
    }

    /// Runs a compiled script. It has the server's state for itself until it ends, however it ends.
    pub(super) fn run(
        &self,
        state: &mut Box<State>,
        caller: ScriptCaller,
        function: &Function,
        sha: Sha,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> Outcome {
        let call = Call {
            state: std::mem::take(state),
            caller,
        };
        self.slot.replace(Some(call));
        let result = self.call(function, keys, arguments);
        let mut protocol = Protocol::default();
        if let Some(call) = self.slot.take() {
            *state = call.state;
            protocol = call.caller.session.protocol();
        }
        let result = result.and_then(|value| {
            value
                .map(|value| self.shapes.to_reply(&value, protocol))
                .transpose()
        });
        match result {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.failed(sha)),
            Err(error) => Err(Reply::error(format!(
                "ERR Error running script {}: {error}",
                sha.as_str()
            ))),
        }
    }

    fn call(
        &self,
        function: &Function,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> mlua::Result<Option<Value>> {
        self.base.raw_set("KEYS", self.strings(keys)?)?;
        self.base.raw_set("ARGV", self.strings(arguments)?)?;
        let (finished, value): (bool, Value) = self.runner.call(function)?;
        Ok(finished.then_some(value))
    }

    fn strings(&self, words: &[Bytes]) -> mlua::Result<Table> {
        let table = self.lua.create_table_with_capacity(words.len(), 0)?;
        for word in words {
            table.raw_push(self.lua.create_string(word)?)?;
        }
        Ok(table)
    }

    /// What a script that raised is answered: its error, and where it came from.
    fn failed(&self, sha: Sha) -> Reply {
        let Some((message, place)) = self.failure.take() else {
            return Reply::error(format!(
                "ERR Error running script {}, execution failure",
                sha.as_str()
            ));
        };
        let mut text = message.to_vec();
        if let Some((source, line)) = place {
            text.extend(format!(" script: {}, on {source}:{line}.", sha.as_str()).as_bytes());
        }
        Reply::error(text)
    }
}
