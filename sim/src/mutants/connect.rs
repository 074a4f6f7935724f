//! The connections beneath a store, with its bug in between.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use haechi_store_redis::{Health, redis::Connect};
use redis::{
    Cmd, ErrorKind, Pipeline, RedisError, RedisFuture, RedisResult, ServerErrorKind, Value,
    aio::ConnectionLike,
};

use super::under_test::StoreUnderTest;

/// Opens the connections of one process.
#[derive(Clone)]
pub(crate) struct ConnectUnderTest<N> {
    pub(super) connect: N,
    pub(super) store: StoreUnderTest,
}

impl<N: Connect> Connect for ConnectUnderTest<N> {
    type Connection = ConnectionUnderTest<N>;

    fn serving(self, key: &str) -> Self {
        Self {
            connect: self.connect.serving(key),
            ..self
        }
    }

    fn health(&self) -> Health {
        self.connect.health()
    }

    async fn connect(&self) -> RedisResult<Self::Connection> {
        Ok(ConnectionUnderTest {
            connection: self.connect.connect().await?,
            under_test: self.clone(),
            is_used: Arc::default(),
        })
    }
}

/// One of them.
#[derive(Clone)]
pub(crate) struct ConnectionUnderTest<N: Connect> {
    connection: N::Connection,
    under_test: ConnectUnderTest<N>,
    /// Whether a command was sent on it.
    is_used: Arc<AtomicBool>,
}

impl<N: Connect> ConnectionLike for ConnectionUnderTest<N> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async {
            let ConnectUnderTest { connect, store } = &self.under_test;
            let is_first = !self.is_used.swap(true, Ordering::Relaxed);
            let asks = cmd.args_iter().next() == Some(redis::Arg::Simple(b"INFO"));
            if is_first && asks && !store.checks_connections() {
                return Ok(Value::BulkString(b"maxmemory_policy:noeviction".to_vec()));
            }
            let other = store.instead(cmd);
            let cmd = other.as_ref().unwrap_or(cmd);
            let replied = if store.dials_each() {
                let mut connection = connect.connect().await?;
                connection.req_packed_command(cmd).await
            } else {
                self.connection.req_packed_command(cmd).await
            };
            let value = replied.and_then(Value::extract_error);
            let is_moved =
                |error: &RedisError| error.kind() == ErrorKind::Server(ServerErrorKind::Moved);
            if value.as_ref().is_err_and(is_moved) && store.sends_on() {
                let mut connection = connect.connect().await?;
                let _ = connection.req_packed_command(cmd).await;
            }
            value.map_err(|error| store.error(error))
        })
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        self.connection.req_packed_commands(pipeline, offset, count)
    }

    fn get_db(&self) -> i64 {
        self.connection.get_db()
    }
}
