// README's example over turmoil needs that feature, which docs.rs builds with.
#![cfg_attr(feature = "turmoil", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "turmoil"),
    doc = "A deterministic Redis in memory; see README.md."
)]

mod cmd;
pub mod differential;
mod keyspace;
mod modes;
mod number;
mod reply;
mod resp;
mod script;
pub mod server;
pub mod server_process;
mod session;
mod state;
mod strtod;
pub mod tcp;
#[cfg(test)]
mod tests;
#[cfg(feature = "turmoil")]
pub mod turmoil;
mod value;

pub use keyspace::{Keyspace, Snapshot};
pub use modes::Modes;
pub use reply::{Outcome, Protocol, Reply};
pub use resp::{Command, next_command};
pub use session::Session;
pub use value::{Hash, List, Score, Sorted, Value};

use state::State;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Time since the Unix epoch, asked once a command.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a server starts.
#[derive(Clone, Default)]
pub struct Config {
    /// The clock that expiry and TIME go by. Without one, time stands where [`Redis::set_now`] puts it.
    pub now: Option<Now>,
    /// What is wrong from the start, and who may log in.
    pub modes: Modes,
}

impl Config {
    /// A server that goes by the system's clock, as one on a port does.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "whoever calls this wants the system's clock"
    )]
    pub fn wall_clock() -> Config {
        let now = || {
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
        };
        Config {
            now: Some(Arc::new(now)),
            ..Config::default()
        }
    }
}

/// A server that several connections share. Each command locks it for as long as it runs.
pub type SharedRedis = Arc<Mutex<Redis>>;

/// The commands that are simulated, in capitals and in the order of their names: `GET`, `SCRIPT LOAD`.
pub fn commands() -> impl Iterator<Item = String> {
    cmd::names()
}

/// One simulated server.
pub struct Redis {
    state: Box<State>,
    now: Option<Now>,
}

impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis")
            .field("keys", &self.state.keyspace.len())
            .field("modes", &self.state.modes)
            .finish_non_exhaustive()
    }
}

impl Redis {
    /// A server with no data.
    pub fn new(config: Config) -> Redis {
        let mut redis = Redis {
            state: Box::default(),
            now: config.now,
        };
        redis.state.modes = config.modes;
        redis.tick();
        redis.state.started_micros = redis.state.micros;
        redis.begin_life();
        redis
    }

    /// Sets the time, in Unix milliseconds, for a server without a clock of its own.
    pub fn set_now(&mut self, unix_millis: u64) {
        self.state.micros = unix_millis.saturating_mul(1000);
        self.state.keyspace.set_now(unix_millis);
    }

    fn tick(&mut self) {
        if let Some(now) = &self.now {
            let micros = u64::try_from(now().as_micros()).unwrap_or(u64::MAX);
            self.state.micros = micros;
            self.state.keyspace.set_now(micros / 1000);
        }
    }

    fn begin_life(&mut self) {
        self.state.life += 1;
        self.state.connections = 0;
        self.state.next_id = 0;
        self.state.random = Default::default();
        // Clients tell a restart by the run id, so each life has its own; it need not be random.
        self.state.run_id = format!("{:040x}", self.state.life);
    }

    /// Lets a connection in; the error is what to answer before closing it.
    pub fn connect(&mut self) -> Result<Session, Reply> {
        let state = &mut self.state;
        if state
            .modes
            .max_clients
            .is_some_and(|limit| state.connections >= limit)
        {
            return Err(modes::text::MAX_CLIENTS);
        }
        state.connections += 1;
        state.next_id += 1;
        Ok(Session {
            id: state.next_id,
            user: "default".to_owned(),
            authenticated: state.modes.requirepass.is_none(),
            life: state.life,
            ..Session::default()
        })
    }

    /// Takes back a connection that ended.
    pub fn disconnect(&mut self, session: &Session) {
        if self.is_current(session) {
            self.state.connections = self.state.connections.saturating_sub(1);
        }
    }

    /// Whether `session` belongs to this life of the server: a connection from before a restart is dead.
    pub fn is_current(&self, session: &Session) -> bool {
        session.life == self.state.life
    }

    /// Runs one command.
    pub fn execute(&mut self, session: &mut Session, command: &Command) -> Reply {
        self.tick();
        cmd::execute(&mut self.state, session, command)
    }

    /// The error conditions, to be switched at any time.
    pub fn modes(&mut self) -> &mut Modes {
        &mut self.state.modes
    }

    /// Stops and starts the server: data, settings and users stay, scripts and connections go.
    pub fn restart(&mut self) {
        self.flush_scripts();
        self.state.keyspace.forget_watchers();
        self.tick();
        self.state.started_micros = self.state.micros;
        self.begin_life();
    }

    /// Forgets every script, as SCRIPT FLUSH does: the next EVALSHA is answered NOSCRIPT.
    pub fn flush_scripts(&mut self) {
        self.state.scripts.clear();
    }

    /// Sets what CONFIG GET and INFO answer for one setting, without a check.
    pub fn configure(&mut self, setting: &str, value: &str) {
        self.state
            .settings
            .insert(setting.to_owned(), value.to_owned());
    }

    /// The data as it is now, for a later [`Redis::restore`]. Costs a pointer a key.
    pub fn snapshot(&self) -> Snapshot {
        self.state.keyspace.snapshot()
    }

    /// Puts the data back to what it was: every write since is lost.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.state.keyspace.restore(snapshot);
    }

    /// The data, read without any effect: nothing expires by being looked at here.
    pub fn keyspace(&self) -> &Keyspace {
        &self.state.keyspace
    }
}
