//! A connection that can be cut while it is used, and one to a node that serves a slot
//! only when asked to.

use std::io;

use redis::{
    Arg, Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::ConnectionLike,
};

use super::heard::Watched;

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
    Until(Watched),
    /// `ASKING` is sent before each command.
    Asking,
}

impl<T> Guarded<T> {
    pub(super) fn plain(connection: T) -> Self {
        let guard = Guard::Plain;
        Self { connection, guard }
    }

    /// One that fails once it is cut.
    pub(super) fn until(connection: T, watched: Watched) -> Self {
        let guard = Guard::Until(watched);
        Self { connection, guard }
    }

    /// One that sends `ASKING` before each command.
    pub(super) fn asking(connection: T) -> Self {
        let guard = Guard::Asking;
        Self { connection, guard }
    }
}

/// The reply, unless the connection is cut first.
async fn unless_cut<R>(watched: &mut Watched, reply: RedisFuture<'_, R>) -> RedisResult<R> {
    tokio::select! {
        biased;
        why = watched.cut() => {
            Err(RedisError::from(io::Error::new(io::ErrorKind::ConnectionAborted, why)))
        }
        reply = reply => reply,
    }
}

/// The plain commands with which the store reads keys.
const READS: [&[u8]; 4] = [b"GET", b"LINDEX", b"LLEN", b"LRANGE"];

/// The reply, unless a key that it calls absent can still be at the node that the slot is
/// being moved from. A script with such a key is answered TRYAGAIN by Redis itself.
fn not_behind(command: &Cmd, reply: Value) -> RedisResult<Value> {
    let reads =
        matches!(command.args_iter().next(), Some(Arg::Simple(name)) if READS.contains(&name));
    let is_absent = match &reply {
        Value::Nil | Value::Int(0) => true,
        Value::Array(elements) => elements.is_empty(),
        _ => false,
    };
    if is_absent && reads {
        let why = "the key may not have been moved to this node yet".to_owned();
        return Err((
            ErrorKind::Server(ServerErrorKind::TryAgain),
            "TRYAGAIN",
            why,
        )
            .into());
    }
    Ok(reply)
}

impl<T: ConnectionLike + Send> ConnectionLike for Guarded<T> {
    fn req_packed_command<'a>(&'a mut self, command: &'a Cmd) -> RedisFuture<'a, Value> {
        let connection = &mut self.connection;
        match &mut self.guard {
            Guard::Plain => connection.req_packed_command(command),
            Guard::Until(watched) => {
                Box::pin(unless_cut(watched, connection.req_packed_command(command)))
            }
            // In a pipeline, so that no other command comes in between.
            Guard::Asking => Box::pin(async move {
                let mut pair = redis::pipe();
                pair.cmd("ASKING").add_command(command.clone());
                let replies = connection.req_packed_commands(&pair, 0, 2).await?;
                let [asked, reply] = replies
                    .try_into()
                    .map_err(|_| (ErrorKind::Parse, "not two replies"))?;
                let reply = match (asked.extract_error(), reply.extract_error()) {
                    // The node may serve the slot by itself by now: what was denied then
                    // says nothing about the command.
                    (Err(denied), Err(error)) if error.redirect_node().is_some() => Err(denied),
                    (_, reply) => reply,
                };
                not_behind(command, reply?)
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
            Guard::Until(watched) => Box::pin(unless_cut(watched, replies)),
        }
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
