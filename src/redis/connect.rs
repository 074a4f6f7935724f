//! The trait `Connect`: how a connection is opened. A simulation replaces the
//! network here.

use std::future::Future;

use redis::{AsyncConnectionConfig, Client, RedisResult, aio::ConnectionLike};

use crate::health::Health;

/// Opens connections to one Redis.
///
/// Everything above this trait is the same in production and in a simulation:
/// codec, pipelining, timeouts, reconnecting.
pub trait Connect: Clone + Send + Sync + 'static {
    /// A connection. Dropping its last clone must close it: the store drops a
    /// connection after a timeout. A reply whose future was dropped must not be
    /// taken for another command's.
    type Connection: ConnectionLike + Clone + Send + Sync + 'static;

    /// The same, for a store that has this key; a store calls it before it connects.
    /// Where keys are on different servers, `connect` must open a connection to this
    /// key's.
    #[must_use]
    fn serving(self, key: &str) -> Self {
        let _ = key;
        self
    }

    /// Opens a connection. The store limits the time; an implementation needs
    /// no timeout.
    fn connect(&self) -> impl Future<Output = RedisResult<Self::Connection>> + Send;

    /// What is known of the way to Redis beside what commands show: behind Sentinel,
    /// whether failovers would be noticed.
    fn health(&self) -> Health {
        Health::Serving
    }
}

impl Connect for Client {
    type Connection = redis::aio::MultiplexedConnection;

    async fn connect(&self) -> RedisResult<Self::Connection> {
        // The client's own timeouts would leave the connection in use.
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        // Without a default provider of cryptography the TLS library panics; one that is
        // installed already is used.
        #[cfg(feature = "tls")]
        let _ = rustls::crypto::ring::default_provider().install_default();
        self.get_multiplexed_async_connection_with_config(&config)
            .await
    }
}
