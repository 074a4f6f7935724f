//! Helpers of several tests.

use std::sync::{
    Arc, Mutex,
    atomic::{AtomicU64, Ordering},
};

use haechi_store_redis::{
    Builder,
    audit::{Pages, store::AuditStore},
    chain::{Event, StoredRecord, Verifier},
    clock::{Clock, SystemClock},
    redis::Connect,
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;
use redis_sim::{
    Command, Config, Redis, SharedRedis,
    server::{Before, ConnId, Gate, serve_connection},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// A redis-server for one test.
pub(crate) fn server() -> RedisServer {
    RedisServer::start().unwrap()
}

pub(crate) fn client(server: &RedisServer) -> redis::Client {
    redis::Client::open(server.url()).unwrap()
}

pub(crate) fn event(id: &str) -> Event {
    Event::from_json(&format!(r#"{{"id":"{id}","operation":"protect"}}"#)).unwrap()
}

/// The whole chain, which must verify up to its head.
pub(crate) async fn verified(store: &impl AuditStore) -> Vec<StoredRecord> {
    let (mut pages, tail) = Pages::open(store).await.unwrap();
    let (mut records, mut verifier) = (Vec::new(), Verifier::new());
    loop {
        let page = pages.next().await.unwrap();
        if page.is_empty() {
            break;
        }
        for record in &page {
            verifier.line(record);
            records.push(StoredRecord::parse(record).unwrap());
        }
    }
    let verdict = verifier.finish();
    assert!(verdict.is_valid(), "{verdict:?}");
    assert_eq!(verdict.head, tail.head);
    records
}

/// A connection for changing the keys directly, without a timeout: on a busy
/// machine a reply can take seconds.
pub(crate) async fn raw(server: &RedisServer) -> MultiplexedConnection {
    let config = redis::AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None);
    client(server)
        .get_multiplexed_async_connection_with_config(&config)
        .await
        .unwrap()
}

/// Runs one command, words with a space in between, for its effect.
pub(crate) async fn run(connection: &mut MultiplexedConnection, command: &str) {
    let _: redis::Value = ask(connection, command).await;
}

/// Runs one command, words with a space in between, for its reply.
pub(crate) async fn ask<T: redis::FromRedisValue>(
    connection: &mut MultiplexedConnection,
    command: &str,
) -> T {
    let mut words = command.split(' ');
    let mut command = redis::cmd(words.next().unwrap());
    for word in words {
        command.arg(word);
    }
    command.query_async(connection).await.unwrap()
}

/// Waits until a replica has all that the primary of this connection has, by a write to
/// `key`: WAIT covers the writes of its own connection only.
pub(crate) async fn replicate(primary: &mut MultiplexedConnection, key: &str) {
    run(primary, &format!("SET {key} 1")).await;
    while ask::<i64>(primary, "WAIT 1 100").await == 0 {}
    run(primary, &format!("DEL {key}")).await;
}

/// The store as production assembles it.
pub(crate) fn store(server: &RedisServer) -> impl AuditStore + use<> {
    Builder::new().audit_store(client(server))
}

/// A proxy that forwards commands, and cuts the connection instead of
/// forwarding every `nth` reply, counted over all connections: the command has
/// run by then. Returns its address and the number of replies cut so far.
pub(crate) async fn cutting_proxy(server: &RedisServer, nth: u64) -> (String, Arc<AtomicU64>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("redis://{}", listener.local_addr().unwrap());
    let upstream = format!("127.0.0.1:{}", server.port());
    let (replies, cut) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counted = cut.clone();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(&upstream).await.unwrap();
            let (replies, cut) = (replies.clone(), counted.clone());
            tokio::spawn(async move {
                let (mut from_client, mut to_client) = client.into_split();
                let (mut from_server, mut to_server) = server.into_split();
                let commands =
                    tokio::spawn(
                        async move { tokio::io::copy(&mut from_client, &mut to_server).await },
                    );
                let mut buffer = vec![0; 1 << 20];
                // Only one command is in flight on a connection, so one read
                // returns one reply.
                while let Ok(length @ 1..) = from_server.read(&mut buffer).await {
                    if (replies.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(nth) {
                        cut.fetch_add(1, Ordering::Relaxed);
                        break;
                    }
                    if to_client.write_all(&buffer[..length]).await.is_err() {
                        break;
                    }
                }
                commands.abort();
            });
        }
    });
    (url, cut)
}

/// Connects to a simulated Redis over a stream in memory: the real client on
/// one end, the simulated server on the other.
#[derive(Clone)]
pub(crate) struct InMemory {
    redis: SharedRedis,
    refusal: Option<&'static str>,
}

/// Replies this error to every command.
struct Refuses(Option<&'static str>);

impl Gate for Refuses {
    fn before(&mut self, _: ConnId, _: &Command) -> Before {
        self.0
            .map_or(Before::Run, |error| Before::Refuse(error.to_owned()))
    }
}

impl InMemory {
    pub(crate) fn new() -> Self {
        Self::over(Config::wall_clock())
    }

    /// A server that replies this error to every command.
    pub(crate) fn refusing(error: &'static str) -> Self {
        Self {
            refusal: Some(error),
            ..Self::new()
        }
    }

    /// The server itself.
    pub(crate) fn redis(&self) -> &SharedRedis {
        &self.redis
    }

    /// A server with this clock.
    pub(crate) fn at(clock: &impl Clock) -> Self {
        let clock = clock.clone();
        let now = move || {
            let since = clock.wall().duration_since(std::time::UNIX_EPOCH);
            since.unwrap_or_default()
        };
        Self::over(Config {
            now: Some(Arc::new(now)),
            ..Config::default()
        })
    }

    fn over(config: Config) -> Self {
        Self {
            redis: Arc::new(Mutex::new(Redis::new(config))),
            refusal: None,
        }
    }
}

impl Connect for InMemory {
    type Connection = MultiplexedConnection;

    async fn connect(&self) -> redis::RedisResult<Self::Connection> {
        let (ours, theirs) = tokio::io::duplex(1 << 16);
        let (redis, gate) = (self.redis.clone(), Refuses(self.refusal));
        let clock = SystemClock::new();
        tokio::spawn(async move {
            let sleep = |duration| {
                let clock = clock.clone();
                async move { clock.sleep(duration).await }
            };
            let gate = Arc::new(Mutex::new(gate));
            let _ = serve_connection(theirs, redis, gate, sleep).await;
        });
        let info = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let config = redis::AsyncConnectionConfig::new()
            .set_connection_timeout(None)
            .set_response_timeout(None);
        let (connection, driver) =
            MultiplexedConnection::new_with_config(&info, ours, config).await?;
        tokio::spawn(driver);
        Ok(connection)
    }
}
