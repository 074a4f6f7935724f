//! For unit tests: a server with scripted replies, and a clock on which waiting
//! takes no time.

use std::{
    collections::VecDeque,
    future::{Future, pending, ready},
    io,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike,
    make_extension_error,
};

use super::connect::Connect;
use crate::{
    clock::Clock,
    entropy::Entropy,
    sync::{Arc, Mutex, lock},
};

/// A server that says one thing after the other.
#[derive(Clone, Default)]
pub(super) struct ScriptedServer(Arc<Mutex<Said>>);

#[derive(Default)]
struct Said {
    opened: u64,
    script: VecDeque<Answer>,
    asked: Vec<String>,
}

/// What comes back for a command, or for an attempt to connect.
pub(super) enum Answer {
    Reply(Value),
    Error(RedisError),
    /// Nothing, ever.
    Silence,
    /// It cannot be reached; said to the next one who connects.
    Away(RedisError),
}

pub(super) fn error(code: &str, detail: &str) -> RedisError {
    make_extension_error(code.to_owned(), Some(detail.to_owned()))
}

impl ScriptedServer {
    pub(super) fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        let server = Self::default();
        lock(&server.0).script = script.into_iter().collect();
        server
    }

    /// How many connections were opened.
    pub(super) fn opened(&self) -> u64 {
        lock(&self.0).opened
    }

    /// The commands that came, as they were written on the wire.
    pub(super) fn asked(&self) -> Vec<String> {
        lock(&self.0).asked.clone()
    }
}

impl Connect for ScriptedServer {
    type Connection = Self;

    fn connect(&self) -> impl Future<Output = RedisResult<Self>> + Send {
        let mut said = lock(&self.0);
        if let Some(Answer::Away(_)) = said.script.front()
            && let Some(Answer::Away(error)) = said.script.pop_front()
        {
            return ready(Err(error));
        }
        said.opened += 1;
        ready(Ok(self.clone()))
    }
}

impl ConnectionLike for ScriptedServer {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async move {
            let answer = {
                let mut said = lock(&self.0);
                let asked = command.get_packed_command();
                said.asked
                    .push(String::from_utf8_lossy(&asked).into_owned());
                said.script.pop_front()
            };
            match answer {
                Some(Answer::Reply(value)) => Ok(value),
                Some(Answer::Error(error)) => Err(error),
                _ => pending().await,
            }
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        _: &'a Pipeline,
        _: usize,
        _: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        Box::pin(pending())
    }

    fn get_db(&self) -> i64 {
        0
    }
}

/// A clock that only waiting moves, by just what was asked for.
#[derive(Clone, Default)]
pub(super) struct AutoClock(Arc<Mutex<Time>>);

#[derive(Default)]
struct Time {
    now: Duration,
    waits: Vec<Duration>,
}

impl AutoClock {
    /// Every wait that was waited out.
    pub(super) fn waits(&self) -> Vec<Duration> {
        lock(&self.0).waits.clone()
    }
}

impl Clock for AutoClock {
    fn now(&self) -> Duration {
        lock(&self.0).now
    }

    fn wall(&self) -> SystemTime {
        UNIX_EPOCH
    }

    async fn sleep(&self, duration: Duration) {
        let mut time = lock(&self.0);
        time.now += duration;
        time.waits.push(duration);
    }
}

/// Bytes that are all the same, or none.
#[derive(Clone)]
pub(super) struct Fixed(pub(super) Option<u8>);

impl Entropy for Fixed {
    fn fill(&self, bytes: &mut [u8]) -> io::Result<()> {
        bytes.fill(self.0.ok_or(io::ErrorKind::Other)?);
        Ok(())
    }
}

/// Runs `future`, which must not wait for anything but a `ScriptedServer`.
pub(super) fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime without drivers")
        .block_on(future)
}
