//! The trait `Connect`: how a connection is made. A simulation replaces the
//! network here.

use std::future::Future;

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::ConnectionLike};

/// Makes connections to one Redis.
///
/// Everything above this trait is the same in production and in a simulation:
/// codec, pipelining, time-outs, reconnecting.
pub trait Connect: Clone + Send + Sync + 'static {
    /// A connection. Dropping its last clone must close it: the store drops
    /// one whose reply is overdue, so that it cannot mistake replies.
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    /// Opens a connection, ready for commands. The store bounds the time this
    /// may take; an implementation needs no time-out of its own.
    fn connect(&self) -> impl Future<Output = RedisResult<Self::Connection>> + Send;
}

impl Connect for Client {
    type Connection = redis::aio::MultiplexedConnection;

    async fn connect(&self) -> RedisResult<Self::Connection> {
        // The client's own time-outs would leave the connection in use.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        self.get_multiplexed_async_connection_with_config(&config)
            .await
    }
}
