//! The cost of a conflict at the fence, and its frequency among contending
//! replicas: on a redis-server as ratios within one run, and in simulated time
//! exactly.
//!
//! `cargo bench --bench fence_retry` prints the tables of BENCHMARKS.md and draws its picture;
//! `-- --quick` takes a fifth of the time.
#![allow(missing_docs, clippy::unwrap_used)]
#![expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]

mod contention;
#[path = "../../src/bin/haechi-store/contention_plot.rs"]
mod contention_plot;
mod exact;
mod executor;
mod retry;
mod simulated;
mod table;
mod workload;

use std::time::Duration;

use contention::ServerReplica;
use criterion::Criterion;
use haechi_store_redis::{clock::SystemClock, entropy::SystemEntropy, redis::LockPolicy};
use redis_sim::server_process::RedisServer;
use tokio::runtime::Runtime;
use workload::{Kind, Replica};

/// A redis-server and a runtime.
pub(crate) struct Bench {
    server: RedisServer,
    pub(crate) runtime: Runtime,
}

impl Bench {
    fn client(&self) -> redis::Client {
        redis::Client::open(self.server.url()).unwrap()
    }

    /// A replica with a connection of its own. Must be called in the runtime.
    pub(crate) fn replica(&self, kind: Kind, policy: LockPolicy, prefix: &str) -> ServerReplica {
        let clock_and_entropy = (SystemClock::new(), SystemEntropy);
        let (replica, driver) =
            Replica::new(kind, policy, prefix, self.client(), clock_and_entropy);
        if let Some(driver) = driver {
            tokio::spawn(driver);
        }
        replica
    }

    /// Clears the server, except for the scripts.
    pub(crate) async fn flush(&self) {
        let client = self.client();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let flush = redis::cmd("FLUSHALL");
        flush.query_async::<()>(&mut connection).await.unwrap();
    }
}

fn main() {
    let said = |flag: &str| std::env::args().any(|argument| argument == flag);
    // Without --bench it is run by cargo test, as a smoke test.
    let is_test = said("--test") || !said("--bench");
    let (window, simulated) = match (is_test, said("--quick")) {
        (true, _) => (30, 10),
        (_, true) => (300, 100),
        _ => (1500, 1000),
    };
    let mut criterion = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    let bench = Bench {
        server: RedisServer::start().unwrap(),
        runtime: tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap(),
    };
    retry::measure(&mut criterion, &bench);
    contention::tables(&bench, Duration::from_millis(window));
    exact::tables(Duration::from_millis(simulated));
    criterion.final_summary();
}
