//! A connection that can be cut while it is used, and one to a node that serves a slot
//! only when asked to.

use std::{io, sync::Arc};

use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, Value, aio::ConnectionLike,
};
use tokio::sync::watch;

/// Why a connection was cut, once it is.
pub(super) type Cut = Option<Arc<str>>;

/// A connection as Sentinel and Cluster need it.
#[derive(Clone)]
pub struct Guarded<T> {
    connection: T,
    guard: Guard,
}

#[derive(Clone)]
enum Guard {
    /// As it is.
    Plain,
    /// Commands fail once it is cut.
    Until(watch::Receiver<Cut>),
    /// `ASKING` is sent before each command.
    Asking,
}

impl<T> Guarded<T> {
    pub(super) fn plain(connection: T) -> Self {
        let guard = Guard::Plain;
        Self { connection, guard }
    }

    /// One that fails once it is cut.
    pub(super) fn until(connection: T, cut: watch::Receiver<Cut>) -> Self {
        let guard = Guard::Until(cut);
        Self { connection, guard }
    }

    /// One that sends `ASKING` before each command.
    pub(super) fn asking(connection: T) -> Self {
        let guard = Guard::Asking;
        Self { connection, guard }
    }
}

/// The reply, unless the connection is cut first.
async fn unless_cut<R>(
    cut: &mut watch::Receiver<Cut>,
    reply: RedisFuture<'_, R>,
) -> RedisResult<R> {
    tokio::select! {
        biased;
        cut = cut.wait_for(Option::is_some) => {
            let why = cut.ok().and_then(|cut| cut.as_deref().map(str::to_owned));
            let why = why.unwrap_or_else(|| "the primary is not watched any more".to_owned());
            Err(RedisError::from(io::Error::new(io::ErrorKind::ConnectionAborted, why)))
        }
        reply = reply => reply,
    }
}

impl<T: ConnectionLike + Send> ConnectionLike for Guarded<T> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let connection = &mut self.connection;
        match &mut self.guard {
            Guard::Plain => connection.req_packed_command(command),
            Guard::Until(cut) => Box::pin(unless_cut(cut, connection.req_packed_command(command))),
            // In a pipeline, so that no other command comes in between.
            Guard::Asking => Box::pin(async move {
                let mut pair = redis::pipe();
                pair.cmd("ASKING").add_command(command.clone());
                let mut replies = connection.req_packed_commands(&pair, 1, 1).await?;
                let reply = replies.pop().ok_or((ErrorKind::Parse, "no reply"))?;
                reply.extract_error()
            }),
        }
    }

    /// The store sends no pipelines: `ASKING` is not put into one.
    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let replies = self.connection.req_packed_commands(pipeline, offset, count);
        match &mut self.guard {
            Guard::Plain | Guard::Asking => replies,
            Guard::Until(cut) => Box::pin(unless_cut(cut, replies)),
        }
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
