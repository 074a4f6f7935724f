//! Rollbacks that are found after a restart, and going on after them.

mod accepting;
mod going_on;
mod seen;
mod vault;

use std::sync::Arc;

use haechi_store_redis::{
    AppendError, Builder, Corrupt,
    audit::{Appended, AuditSink},
    chain::{LostRange, Position},
    clock::SystemClock,
    crypto::{Counting, LocalKeys, MemoryKeys, manage},
    entropy::SystemEntropy,
};
use redis::aio::MultiplexedConnection;
use redis_sim::server_process::RedisServer;

use crate::support::{client, event, raw, run};

type Keys = LocalKeys<MemoryKeys>;

async fn keys() -> Arc<Keys> {
    let (storage, clock) = (MemoryKeys::new(), SystemClock::new());
    manage::init(&storage, &clock, &SystemEntropy)
        .await
        .unwrap();
    let keys = LocalKeys::open(storage, clock, SystemEntropy, Counting::Persisted);
    Arc::new(keys.await.unwrap())
}

fn range(text: &str) -> LostRange {
    text.parse().unwrap()
}

async fn sink(server: &RedisServer) -> AuditSink {
    Builder::new().open_audit(client(server)).await.unwrap()
}

async fn record(sink: &AuditSink, count: usize) -> Vec<Position> {
    let mut positions = Vec::new();
    for number in 0..count {
        let end = sink.record(event(&format!("e{number}"))).await.unwrap();
        positions.push(end.position);
    }
    positions
}

/// Closes the sink, and with it its file.
async fn close(sink: AuditSink) {
    sink.close(std::time::Duration::from_secs(5)).await;
}

fn is_rolled_back(end: &Result<Appended, AppendError>) -> bool {
    matches!(end, Err(AppendError::Corrupt(Corrupt::RolledBack(_))))
}

/// Keeps the keys of a chain or vault under this name, and puts them back: a restored
/// snapshot.
struct Snapshot {
    connection: MultiplexedConnection,
    keys: &'static [&'static str],
    name: &'static str,
}

const CHAIN: &[&str] = &[
    "haechi:audit:chain",
    "haechi:audit:head",
    "haechi:audit:head:hash",
];

const VAULT: &[&str] = &[
    "haechi:tv:tokens",
    "haechi:tv:version",
    "haechi:tv:receipts",
    "haechi:tv:expiry",
];

impl Snapshot {
    async fn take(server: &RedisServer) -> Self {
        Self::named(server, CHAIN, "kept").await
    }

    async fn named(
        server: &RedisServer,
        keys: &'static [&'static str],
        name: &'static str,
    ) -> Self {
        let mut connection = raw(server).await;
        for key in keys {
            let copy = format!("COPY {key} {name}:{key} REPLACE");
            run(&mut connection, &copy).await;
        }
        Self {
            connection,
            keys,
            name,
        }
    }

    /// Deletes the keys.
    async fn lose(&mut self) {
        for key in self.keys {
            run(&mut self.connection, &format!("DEL {key}")).await;
        }
    }

    async fn restore(&mut self) {
        self.lose().await;
        for key in self.keys {
            let copy = format!("COPY {}:{key} {key}", self.name);
            run(&mut self.connection, &copy).await;
        }
    }
}
