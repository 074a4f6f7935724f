// README has an example that needs the feature. docs.rs builds with all features.
#![cfg_attr(feature = "turmoil", doc = include_str!("../README.md"))]
#![cfg_attr(
    not(feature = "turmoil"),
    doc = "A deterministic Redis in memory; see README.md."
)]

mod blocked;
mod cmd;
pub mod differential;
mod durable;
mod extended;
mod keyspace;
mod modes;
mod number;
mod pubsub;
mod reply;
mod resp;
mod script;
pub mod server;
pub mod server_process;
mod session;
mod state;
mod stream;
mod strtod;
pub mod tcp;
#[cfg(feature = "turmoil")]
pub mod turmoil;
mod value;

pub use durable::ServerKind;
pub use keyspace::{Keyspace, Snapshot};
pub use modes::Modes;
pub use reply::{Outcome, Protocol, Reply};
pub use resp::{Command, next_command};
pub use session::Session;
pub use stream::{Stream, StreamId};
pub use value::{Hash, List, Score, Sorted, Value};

use bytes::Bytes;
use state::State;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A clock: the time since the Unix epoch. It is read once for each command.
pub type Now = Arc<dyn Fn() -> Duration + Send + Sync>;

/// How a server starts.
#[derive(Clone, Default)]
pub struct Config {
    /// The clock for expiry and TIME. Without one, the time is what [`Redis::set_now`] sets.
    pub now: Option<Now>,
    /// The error conditions at the start, and who may log in.
    pub modes: Modes,
    /// Which server it is.
    pub kind: ServerKind,
}

impl Config {
    /// Settings with the system's clock, for a server that is used in real time.
    #[must_use]
    #[allow(
        clippy::disallowed_methods,
        reason = "the caller asks for the system's clock"
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

/// Whether redis-server 7.0 has this command, or subcommand, and it is not simulated.
pub fn is_not_simulated(command: &Command) -> bool {
    cmd::is_not_simulated(command.words())
}

/// What a command does to data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Nothing: it is about the connection or the server, or there is no such command.
    None,
    /// It reads.
    Read,
    /// It writes, or may write, as a script.
    Write,
}

/// What this command does to data, whatever its arguments.
pub fn access(command: &Command) -> Access {
    cmd::access(command.name())
}

/// A simulated server.
///
/// It runs one command at a time and does no I/O. A command costs about as much as in redis-server, but for KEYS, SCAN,
/// DBSIZE and INFO, which are O(n) in the number of keys.
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
        redis.state.kind = config.kind;
        redis.tick();
        redis.state.started_micros = redis.state.micros;
        redis.begin_life();
        redis
    }

    /// Sets the time, in Unix milliseconds, of a server without a clock.
    pub fn set_now(&mut self, unix_millis: u64) {
        self.state.micros = unix_millis.saturating_mul(1000);
        self.state.keyspace.set_now(unix_millis);
        self.state.pass_on();
    }

    fn tick(&mut self) {
        if let Some(now) = &self.now {
            let micros = u64::try_from(now().as_micros()).unwrap_or(u64::MAX);
            self.state.micros = micros;
            self.state.keyspace.set_now(micros / 1000);
        }
        self.state.pass_on();
    }

    fn begin_life(&mut self) {
        self.state.life += 1;
        self.state.connections = 0;
        self.state.next_id = 0;
        self.state.clients.clear();
        self.state.blocked.clear();
        self.state.served.clear();
        self.state.pubsub = Default::default();
        self.state.random = Default::default();
        // Clients detect a restart by the run id: it has to differ each time,
        // but need not be random.
        self.state.run_id = format!("{:040x}", self.state.life);
    }

    /// Opens a connection.
    ///
    /// # Errors
    /// The reply to send before closing it, when [`Modes::max_clients`] are connected.
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
        state.clients.insert(state.next_id, Bytes::new());
        Ok(Session {
            id: state.next_id,
            user: "default".to_owned(),
            authenticated: state.modes.requirepass.is_none(),
            life: state.life,
            ..Session::default()
        })
    }

    /// Closes a connection.
    pub fn disconnect(&mut self, session: &Session) {
        if self.is_current(session) {
            self.state.connections = self.state.connections.saturating_sub(1);
            self.state.clients.remove(&session.id);
            self.state.unblock(session.id);
            self.state.pubsub.forget(session.id);
        }
    }

    /// Whether `session` was opened since the last [`Redis::restart`]. An older one must not be used any more.
    pub fn is_current(&self, session: &Session) -> bool {
        session.life == self.state.life
    }

    /// Runs one command.
    ///
    /// The reply to WAIT and WAITAOF is what has been reached by now. If that is not enough, or BLPOP finds no element,
    /// [`Session::is_waiting`], and the reply for the client is what [`Redis::waited`] returns.
    pub fn execute(&mut self, session: &mut Session, command: &Command) -> Reply {
        self.tick();
        self.state.switch_to(session.db);
        let reply = cmd::execute(&mut self.state, session, command);
        if !self.state.blocked.is_empty() {
            blocked::serve(&mut self.state);
        }
        self.state.switch_to(0);
        self.state.pass_on();
        reply
    }

    /// The messages of its channels that a connection has not been sent yet, in the order in which they were published.
    pub fn messages(&mut self, session: &Session) -> Vec<Reply> {
        match self.is_current(session) {
            true => self.state.pubsub.take(session.id),
            false => Vec::new(),
        }
    }

    /// The reply to the WAIT, WAITAOF or BLPOP that this connection waits for: once it is reached, its time-out is
    /// over, or the server has become a replica.
    pub fn waited(&mut self, session: &mut Session) -> Option<Reply> {
        self.tick();
        self.state.waited(session)
    }

    /// Connects so many replicas, and no others; each acknowledges a write after this time. They have no data: WAIT
    /// and INFO answer as if they had it.
    pub fn set_replicas(&mut self, count: usize, delay: Duration) {
        self.state.replicas = vec![durable::Place::new(delay); count];
    }

    /// How long the disk takes for a write (`appendonly yes`), as far as WAITAOF tells.
    pub fn set_sync_delay(&mut self, delay: Duration) {
        self.state.disk = durable::Place::new(delay);
    }

    /// Whether one of the replicas, counted from 0, gets nothing of what is written from now on. What it got before
    /// it still acknowledges.
    pub fn hold_replica(&mut self, number: usize, is_held: bool) {
        if let Some(replica) = self.state.replicas.get_mut(number) {
            replica.hold(is_held);
        }
    }

    /// Whether the disk gets nothing of what is written from now on, likewise.
    pub fn hold_disk(&mut self, is_held: bool) {
        self.state.disk.hold(is_held);
    }

    /// The error conditions. They can be changed at any time.
    pub fn modes(&mut self) -> &mut Modes {
        &mut self.state.modes
    }

    /// Stops and starts the server. Data, settings and users stay; scripts and connections are lost.
    pub fn restart(&mut self) {
        self.flush_scripts();
        self.state.end_watches();
        self.tick();
        self.state.started_micros = self.state.micros;
        self.state.reconnect_replicas();
        self.begin_life();
    }

    /// Removes all scripts, like SCRIPT FLUSH: the next EVALSHA fails with NOSCRIPT.
    pub fn flush_scripts(&mut self) {
        self.state.scripts.clear();
    }

    /// Sets what CONFIG GET and INFO answer for a setting, without checks.
    pub fn configure(&mut self, setting: &str, value: &str) {
        self.state
            .settings
            .insert(setting.to_owned(), value.to_owned());
    }

    /// The data of database 0 as it is now, for a later [`Redis::restore`]. O(n) in the number of keys; values are shared.
    pub fn snapshot(&self) -> Snapshot {
        self.state.keyspace.snapshot()
    }

    /// Takes the data back to a snapshot: later writes are lost. O(n) in the number of keys.
    pub fn restore(&mut self, snapshot: &Snapshot) {
        self.state.keyspace.restore(snapshot);
    }

    /// Takes one key back to a snapshot; one that it does not have is removed.
    pub fn restore_key(&mut self, snapshot: &Snapshot, key: &[u8]) {
        self.state.keyspace.restore_key(snapshot, key);
    }

    /// The data of database 0. Reading it here has no effects: no key expires by it.
    pub fn keyspace(&self) -> &Keyspace {
        &self.state.keyspace
    }
}
