//! The connections beneath a store, with its bug in between.

use haechi_store_redis::redis::Connect;
use redis::{Cmd, Pipeline, RedisFuture, RedisResult, Value, aio::ConnectionLike};

use super::under_test::StoreUnderTest;

/// Opens the connections of one process.
#[derive(Clone)]
pub(crate) struct ConnectUnderTest<N> {
    pub(super) connect: N,
    pub(super) store: StoreUnderTest,
}

impl<N: Connect> Connect for ConnectUnderTest<N> {
    type Connection = ConnectionUnderTest<N::Connection>;

    async fn connect(&self) -> RedisResult<Self::Connection> {
        Ok(ConnectionUnderTest {
            connection: self.connect.connect().await?,
            store: self.store.clone(),
        })
    }
}

/// One of them.
#[derive(Clone)]
pub(crate) struct ConnectionUnderTest<T> {
    connection: T,
    store: StoreUnderTest,
}

impl<T: ConnectionLike + Send> ConnectionLike for ConnectionUnderTest<T> {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        Box::pin(async {
            let replied = self.connection.req_packed_command(cmd).await;
            let value = replied.and_then(Value::extract_error);
            value.map_err(|error| self.store.error(error))
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
