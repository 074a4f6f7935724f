//! The redis-server under torture, with persistence of everything acknowledged,
//! a replica of it, and direct access for the nemesis and the evaluation.

use std::{io, path::Path, time::Duration};

use haechi_store_redis::clock::{Clock, SystemClock};
use redis::{Client, Connection, RedisResult, Value};

use redis_sim::Reply;
use redis_sim::server_process::RedisServer;

/// After so many milliseconds of a script, others are answered -BUSY.
const BUSY_AFTER: &str = "30";

/// How long a healthy server may take to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long healing may take, and how soon it is retried.
const HEALING: Duration = Duration::from_secs(60);
const RETRY_DELAY: Duration = Duration::from_millis(50);

/// How often a restart is tried.
const ATTEMPTS: usize = 5;

/// The server and its state.
pub(super) struct Server {
    process: RedisServer,
    client: Client,
    is_down: bool,
    is_stopped: bool,
}

impl Server {
    /// Starts a server.
    pub(super) fn start(program: &Path) -> io::Result<Self> {
        // Acknowledged writes are in the file, so a kill loses nothing.
        let persistence = ["--appendonly", "yes", "--appendfsync", "always"];
        let busy = ["--lua-time-limit", BUSY_AFTER];
        // A replica gets the data at once.
        let replication = ["--repl-diskless-sync-delay", "0"];
        Self::start_with(program, &[&persistence[..], &busy, &replication].concat())
    }

    /// Starts a replica of this server that can take its place.
    pub(super) fn start_standby(&self, program: &Path) -> io::Result<Self> {
        let standby = Self::start(program)?;
        standby.follow(self.port()).map_err(io::Error::other)?;
        Ok(standby)
    }

    /// Makes it a replica of the server at this port.
    pub(super) fn follow(&self, port: u16) -> RedisResult<()> {
        self.run(&["REPLICAOF", "127.0.0.1", &port.to_string()])
            .map(drop)
    }

    /// Starts a replica of this server.
    pub(super) fn start_replica(&self, program: &Path) -> io::Result<Self> {
        let primary = self.port().to_string();
        Self::start_with(program, &["--replicaof", "127.0.0.1", &primary])
    }

    fn start_with(program: &Path, args: &[&str]) -> io::Result<Self> {
        let process = RedisServer::start_program(program, args)?;
        let client = Client::open(process.url()).map_err(io::Error::other)?;
        Ok(Self {
            process,
            client,
            is_down: false,
            is_stopped: false,
        })
    }

    pub(super) fn port(&self) -> u16 {
        self.process.port()
    }

    /// The directory of its files.
    pub(super) fn directory(&self) -> &Path {
        self.process.directory()
    }

    pub(super) fn kill(&mut self) -> io::Result<()> {
        self.is_down = true;
        self.is_stopped = false;
        self.process.kill()
    }

    pub(super) fn shut_down(&mut self) -> io::Result<()> {
        self.is_down = true;
        self.process.shut_down()
    }

    pub(super) fn stop(&mut self) -> io::Result<()> {
        self.is_stopped = true;
        self.process.stop()
    }

    pub(super) fn resume(&mut self) -> io::Result<()> {
        self.is_stopped = false;
        self.process.resume()
    }

    /// Starts the server again if it is down.
    pub(super) fn restart(&mut self) -> io::Result<()> {
        self.restart_with(&[])
    }

    /// Starts the server again if it is down, with more arguments this time.
    pub(super) fn restart_with(&mut self, args: &[&str]) -> io::Result<()> {
        if !self.is_down {
            return Ok(());
        }
        let mut last = Ok(());
        for _ in 0..ATTEMPTS {
            last = self.process.restart_with(args);
            if last.is_ok() {
                self.is_down = false;
                break;
            }
        }
        last
    }

    /// A connection with this timeout.
    pub(super) fn connect(&self, timeout: Duration) -> RedisResult<Connection> {
        let connection = self.client.get_connection_with_timeout(timeout)?;
        connection.set_read_timeout(Some(timeout))?;
        connection.set_write_timeout(Some(timeout))?;
        Ok(connection)
    }

    /// Sends a command on a new connection.
    pub(super) fn run(&self, words: &[&str]) -> RedisResult<Value> {
        query(&mut self.connect(ANSWER_TIMEOUT)?, words)
    }

    /// Whether it can tell what its disk has.
    pub(super) fn has_waitaof(&self) -> io::Result<bool> {
        let known = self.run(&["COMMAND", "INFO", "WAITAOF"]);
        let known = known.map_err(io::Error::other)?;
        Ok(matches!(known, Value::Array(known) if known != [Value::Nil]))
    }

    /// Undoes all faults.
    pub(super) async fn heal(&mut self, clock: &SystemClock) -> io::Result<()> {
        if self.is_stopped {
            self.resume()?;
        }
        self.restart()?;
        let until = clock.now() + HEALING;
        loop {
            match self.take_back() {
                Ok(()) => return Ok(()),
                // On a busy machine a script of the nemesis may still run.
                Err(_) if clock.now() < until => clock.sleep(RETRY_DELAY).await,
                Err(error) => return Err(io::Error::other(error)),
            }
        }
    }

    fn take_back(&self) -> RedisResult<()> {
        let mut connection = self.connect(ANSWER_TIMEOUT)?;
        for words in [
            &["REPLICAOF", "NO", "ONE"][..],
            &["CONFIG", "SET", "maxmemory", "0"],
            &["CONFIG", "SET", "maxclients", "10000"],
            &["CONFIG", "SET", "appendfsync", "always"],
        ] {
            query(&mut connection, words)?;
        }
        Ok(())
    }

    /// Whether no other client is connected.
    pub(super) fn is_quiet(&self) -> bool {
        match self.run(&["CLIENT", "LIST"]) {
            Ok(Value::BulkString(list)) => list.split(|byte| *byte == b'\n').count() <= 2,
            Ok(Value::VerbatimString { text, .. }) => text.lines().count() <= 1,
            _ => false,
        }
    }
}

/// Sends a command.
pub(super) fn query(connection: &mut Connection, words: &[&str]) -> RedisResult<Value> {
    let mut command = redis::Cmd::new();
    for word in words {
        command.arg(*word);
    }
    command.query(connection)
}

/// A reply in the type that the evaluation reads.
pub(super) fn reply(value: Value) -> Reply {
    match value {
        Value::Okay => Reply::OK,
        Value::SimpleString(text) => Reply::Status(text.into()),
        Value::Int(number) => Reply::Integer(number),
        Value::BulkString(bytes) => Reply::Bulk(bytes.into()),
        Value::Array(items) => Reply::Array(items.into_iter().map(reply).collect()),
        Value::Map(pairs) => Reply::Array(
            pairs
                .into_iter()
                .flat_map(|(key, value)| [reply(key), reply(value)])
                .collect(),
        ),
        _ => Reply::Nil,
    }
}
