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
    cut: Option<watch::Receiver<Cut>>,
    asking: bool,
}

impl<T> Guarded<T> {
    /// A connection as it is.
    pub(super) fn plain(connection: T) -> Self {
        Self {
            connection,
            cut: None,
            asking: false,
        }
    }

    /// One that fails once it is cut.
    pub(super) fn until(connection: T, cut: watch::Receiver<Cut>) -> Self {
        Self {
            cut: Some(cut),
            ..Self::plain(connection)
        }
    }

    /// One that sends `ASKING` before each command.
    pub(super) fn asking(connection: T) -> Self {
        Self {
            asking: true,
            ..Self::plain(connection)
        }
    }
}

/// The reply, unless the connection is cut first.
async fn unless_cut<R>(
    cut: &mut Option<watch::Receiver<Cut>>,
    reply: RedisFuture<'_, R>,
) -> RedisResult<R> {
    let Some(cut) = cut else {
        return reply.await;
    };
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
        if self.asking {
            return Box::pin(async move {
                let mut pair = redis::pipe();
                pair.cmd("ASKING").add_command(command.clone());
                let mut replies = self.connection.req_packed_commands(&pair, 1, 1).await?;
                let reply = replies.pop().ok_or((ErrorKind::Parse, "no reply"))?;
                reply.extract_error()
            });
        }
        let reply = self.connection.req_packed_command(command);
        Box::pin(unless_cut(&mut self.cut, reply))
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        let replies = self.connection.req_packed_commands(pipeline, offset, count);
        Box::pin(unless_cut(&mut self.cut, replies))
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
