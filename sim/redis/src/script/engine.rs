//! The Lua engine of a thread: compiles scripts, keeps them, and runs one at a time.

use super::{Sha, cjson, convert, library, raise};
use crate::cmd::ScriptCaller;
use crate::durable::ServerKind;
use crate::reply::{Outcome, Protocol, Reply};
use crate::state::State;
use bytes::Bytes;
use mlua::chunk::ChunkMode;
use mlua::{Function, HookTriggers, Lua, LuaOptions, StdLib, Table, Value, VmState};
use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;

pub(super) const PRELUDE_NAME: &str = "@prelude";

/// How many compiled scripts are kept: generated scripts must not exhaust
/// memory.
const MAX_COMPILED: usize = 1024;

/// The most instructions of Lua that a script runs, which takes a second or two.
const MAX_INSTRUCTIONS: u64 = 200_000_000;
/// They are counted in steps of so many.
const COUNTED: u32 = 100_000;

/// The reply to a script that runs more.
const TOO_LONG: &str = "ERR the script does not end: redis-sim stops it, where redis-server would \
                        answer BUSY until SCRIPT KILL";

/// The state that the running script works on.
pub(super) struct Call {
    pub(super) state: Box<State>,
    pub(super) caller: ScriptCaller,
}

/// The call of the running script; `None` between scripts.
pub(super) type CurrentCall = Rc<RefCell<Option<Call>>>;

/// The error of the script that failed, and its source and line.
type Failure = Rc<RefCell<Option<(Bytes, Option<(String, usize)>)>>>;

pub(super) struct Engine {
    lua: Lua,
    /// The table behind the scripts' read-only globals: KEYS and ARGV are set in it.
    base: Table,
    runner: Function,
    functions: RefCell<BTreeMap<Sha, Function>>,
    current: CurrentCall,
    failure: Failure,
    shapes: convert::Shapes,
    /// `redis`, and what of it not every server has.
    redis: Table,
    acl_check: Value,
    kind: Cell<ServerKind>,
    /// Instructions that the running script has run.
    instructions: Rc<Cell<u64>>,
}

/// Counts the instructions of a script, and ends it when there are too many: from then on each one
/// is an error, so that no pcall of the script goes on after it.
fn count_instructions(lua: &Lua, instructions: &Rc<Cell<u64>>) -> mlua::Result<()> {
    let counted = instructions.clone();
    let every = |count| HookTriggers::new().every_nth_instruction(count);
    lua.set_hook(every(COUNTED), move |lua, _| {
        let run = counted.get() + u64::from(COUNTED);
        counted.set(run);
        if run <= MAX_INSTRUCTIONS {
            return Ok(VmState::Continue);
        }
        lua.set_hook(every(1), |_, _| Err(raise::table(TOO_LONG)))?;
        Err(raise::table(TOO_LONG))
    })
}

thread_local! {
    static ENGINE: mlua::Result<Engine> = Engine::new();
}

/// Lends the thread's engine, creating it on first use.
pub(super) fn with<T>(use_engine: impl FnOnce(&Engine) -> T) -> Result<T, Reply> {
    ENGINE.with(|engine| match engine {
        Ok(engine) => Ok(use_engine(engine)),
        Err(error) => Err(Reply::error(format!("ERR no Lua engine: {error}"))),
    })
}

impl Engine {
    fn new() -> mlua::Result<Engine> {
        // The prelude selects from these libraries; os, io, package and debug
        // are not loaded.
        let libraries = StdLib::TABLE | StdLib::STRING | StdLib::MATH;
        let lua = Lua::new_with(libraries, LuaOptions::default())?;
        let current = CurrentCall::default();
        let failure = Failure::default();

        let native = lua.create_table()?;
        let redis = library::redis(&lua, &current)?;
        let acl_check: Value = redis.raw_get(library::ACL_CHECK)?;
        native.raw_set("redis", &redis)?;
        native.raw_set("cjson", cjson::library(&lua)?)?;
        library::random(&lua, &current, &native)?;
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
        // Functions made by `loadstring` get these, too.
        lua.set_globals(globals)?;
        let instructions = Rc::new(Cell::new(0));
        count_instructions(&lua, &instructions)?;
        let shapes = convert::Shapes::new(&lua)?;
        Ok(Engine {
            lua,
            base,
            runner,
            functions: RefCell::default(),
            current,
            failure,
            shapes,
            redis,
            acl_check,
            kind: Cell::default(),
            instructions,
        })
    }

    /// The function of a script that was compiled before.
    pub(super) fn compiled(&self, sha: &Sha) -> Option<Function> {
        self.functions.borrow().get(sha).cloned()
    }

    /// Compiles a script, unless it is compiled.
    pub(super) fn compile(&self, sha: Sha, body: &[u8]) -> Result<Function, Reply> {
        if let Some(function) = self.compiled(&sha) {
            return Ok(function);
        }
        let chunk = self
            .lua
            .load(body)
            .set_name("@user_script")
            .set_mode(ChunkMode::Text);
        let function = chunk.into_function().map_err(|error| {
            let text = match error {
                // mlua has another text for a precompiled chunk.
                _ if body.first() == Some(&27) => {
                    "user_script:1: unexpected symbol near 'char(27)'".to_owned()
                }
                mlua::Error::SyntaxError { message, .. } => message,
                other => other.to_string(),
            };
            Reply::error(format!("ERR Error compiling script (new function): {text}"))
        })?;
        let mut functions = self.functions.borrow_mut();
        if functions.len() >= MAX_COMPILED {
            functions.clear();
        }
        functions.insert(sha, function.clone());
        Ok(function)
    }

    /// Runs a compiled script. It owns `state` until it ends, also if it fails.
    pub(super) fn run(
        &self,
        state: &mut Box<State>,
        caller: ScriptCaller,
        function: &Function,
        sha: Sha,
        keys: &[Bytes],
        arguments: &[Bytes],
    ) -> Outcome {
        let kind = state.kind;
        self.be(kind)
            .map_err(|error| Reply::error(format!("ERR no Lua engine: {error}")))?;
        if self.instructions.replace(0) > MAX_INSTRUCTIONS {
            count_instructions(&self.lua, &self.instructions)
                .map_err(|error| Reply::error(format!("ERR no Lua engine: {error}")))?;
        }
        let call = Call {
            state: std::mem::take(state),
            caller,
        };
        self.current.replace(Some(call));
        let result = self.call(function, keys, arguments);
        let mut protocol = Protocol::default();
        if let Some(call) = self.current.take() {
            *state = call.state;
            protocol = call.caller.session.protocol();
        }
        if self.instructions.get() > MAX_INSTRUCTIONS {
            self.failure.take();
            return Err(Reply::error(TOO_LONG));
        }
        let result = result.and_then(|value| {
            value
                .map(|value| self.shapes.to_reply(&value, protocol))
                .transpose()
        });
        match result {
            Ok(Some(reply)) => Ok(reply),
            Ok(None) => Err(self.failed(kind, sha)),
            Err(error) => Err(Reply::error(format!(
                "ERR Error running script {}: {error}",
                sha.as_str()
            ))),
        }
    }

    /// Is the engine of such a server.
    fn be(&self, kind: ServerKind) -> mlua::Result<()> {
        if self.kind.replace(kind) == kind {
            return Ok(());
        }
        let acl_check = match kind {
            ServerKind::Redis62 => Value::Nil,
            ServerKind::Redis70 | ServerKind::Valkey9 => self.acl_check.clone(),
        };
        self.redis.raw_set(library::ACL_CHECK, acl_check)
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

    /// The reply to a script that raised an error: its text, and where it was raised.
    fn failed(&self, kind: ServerKind, sha: Sha) -> Reply {
        let Some((message, place)) = self.failure.take() else {
            return Reply::error(format!(
                "ERR Error running script {}, execution failure",
                sha.as_str()
            ));
        };
        if kind == ServerKind::Redis62 {
            let line = place.map_or(0, |(_, line)| line);
            let start = format!(
                "ERR Error running script (call to f_{}): @user_script:{line}: ",
                sha.as_str()
            );
            return Reply::error([start.as_bytes(), &message].concat());
        }
        let mut text = message.to_vec();
        if let Some((source, line)) = place {
            text.extend(format!(" script: {}, on {source}:{line}.", sha.as_str()).as_bytes());
        }
        Reply::error(text)
    }
}
