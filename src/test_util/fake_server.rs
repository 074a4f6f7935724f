//! A server without network and runtime: connections whose commands are
//! answered by a value of the test.

use std::{
    collections::VecDeque,
    future::{Future, pending, ready},
};

use redis::{
    Cmd, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike,
    make_extension_error,
};

use crate::{
    redis::Connect,
    sync::{Arc, Mutex, lock},
};

/// Answers the commands that a store sends.
pub trait Answers: Send + Sync + 'static {
    /// Opens a connection and returns its number.
    ///
    /// # Errors
    ///
    /// When it is refused.
    fn open(&self) -> RedisResult<u64>;

    /// Answers a command of a connection.
    fn answer(
        &self,
        connection: u64,
        command: &Cmd,
    ) -> impl Future<Output = RedisResult<Value>> + Send;
}

/// A server to connect to. Clones share it.
#[derive(Debug, Default)]
pub struct FakeServer<A>(Arc<A>);

impl<A: Answers> FakeServer<A> {
    /// A server with these answers.
    pub fn new(answers: A) -> Self {
        Self(Arc::new(answers))
    }

    /// The answers.
    pub fn answers(&self) -> &A {
        &self.0
    }
}

impl<A> Clone for FakeServer<A> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<A: Answers> Connect for FakeServer<A> {
    type Connection = FakeConnection<A>;

    fn connect(&self) -> impl Future<Output = RedisResult<FakeConnection<A>>> + Send {
        ready(self.0.open().map(|number| FakeConnection {
            server: self.0.clone(),
            number,
        }))
    }
}

/// A connection to a [`FakeServer`].
#[derive(Debug)]
pub struct FakeConnection<A> {
    server: Arc<A>,
    number: u64,
}

impl<A> Clone for FakeConnection<A> {
    fn clone(&self) -> Self {
        Self {
            server: self.server.clone(),
            number: self.number,
        }
    }
}

impl<A: Answers> ConnectionLike for FakeConnection<A> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(self.server.answer(self.number, command))
    }

    /// The store sends no pipelines.
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

/// A server that gives one answer after the other, whatever the command.
pub type ScriptedServer = FakeServer<Script>;

/// The answers of a [`ScriptedServer`], and the commands it received.
#[derive(Default)]
pub struct Script(Mutex<Said>);

#[derive(Default)]
struct Said {
    opened: u64,
    script: VecDeque<Answer>,
    asked: Vec<String>,
}

/// The answer to a command, or to an attempt to connect.
#[derive(Debug)]
pub enum Answer {
    /// This value.
    Reply(Value),
    /// This error.
    Error(RedisError),
    /// No answer.
    Silence,
    /// The server is unreachable; given to the next attempt to connect.
    Away(RedisError),
}

impl Answer {
    /// The error that Redis sends as `-CODE detail`.
    #[must_use]
    pub fn error(code: &str, detail: &str) -> Self {
        Self::Error(make_extension_error(
            code.to_owned(),
            Some(detail.to_owned()),
        ))
    }
}

impl ScriptedServer {
    /// Gives these answers, then none.
    pub fn scripted(script: impl IntoIterator<Item = Answer>) -> Self {
        Self::new(Script(Mutex::new(Said {
            script: script.into_iter().collect(),
            ..Said::default()
        })))
    }

    /// The number of connections opened.
    #[must_use]
    pub fn opened(&self) -> u64 {
        lock(&self.answers().0).opened
    }

    /// The commands received, in wire format.
    #[must_use]
    pub fn received(&self) -> Vec<String> {
        lock(&self.answers().0).asked.clone()
    }
}

impl Answers for Script {
    fn open(&self) -> RedisResult<u64> {
        let mut said = lock(&self.0);
        if let Some(Answer::Away(_)) = said.script.front()
            && let Some(Answer::Away(error)) = said.script.pop_front()
        {
            return Err(error);
        }
        said.opened += 1;
        Ok(said.opened)
    }

    async fn answer(&self, _: u64, command: &Cmd) -> RedisResult<Value> {
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
            Some(Answer::Silence | Answer::Away(_)) | None => pending().await,
        }
    }
}
