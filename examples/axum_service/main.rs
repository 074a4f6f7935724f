//! A service over HTTP that keeps e-mail addresses as tokens, and audits every request.
//!
//! ```console
//! $ haechi-store keys init --key-file vault.keys
//! $ REDIS_URL=redis://127.0.0.1:6379 KEY_FILE=vault.keys \
//!     cargo run --features metrics,tls,tracing --example axum_service
//! $ curl -d '{"email":"anna@example.com"}' -H 'content-type: application/json' -H 'x-user: u-17' \
//!     http://127.0.0.1:8080/customers
//! {"token":"tok_email_…"}
//! ```
//!
//! A request is answered with success only once its token is in the vault and its record
//! in the chain. `tests/it/examples.rs` kills its Redis under load, and then the service;
//! `sim/tests/it/axum_service.rs` runs it under simulated faults.

mod service;

use std::{env, error::Error, time::Duration};

use haechi_store_redis::{
    Builder, Durability,
    clock::{Clock, SystemClock},
    crypto::{Counting, KeyFile},
    describe_metrics,
    entropy::SystemEntropy,
    redis::Endpoint,
    vault::{Deterministic, RevealPolicy, VaultPolicy},
};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle};
use tokio::signal::{
    ctrl_c,
    unix::{SignalKind, signal},
};
use tokio_util::sync::CancellationToken;

use service::{GRACE, Keys, Service};

/// What the service runs on.
mod platform {
    pub(crate) use haechi_store_redis::{
        clock::SystemClock as Time, crypto::KeyFile as KeyPlace,
        entropy::SystemEntropy as Randomness, redis::Endpoint as Redis,
    };
}

#[tokio::main]
pub(crate) async fn main() -> Result<(), Box<dyn Error>> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .init();
    // Buckets, rather than quantiles, are what docs/grafana-dashboard.json shows.
    let seconds = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 5.0];
    let metrics = PrometheusBuilder::new()
        .set_buckets(&seconds)?
        .install_recorder()?;
    describe_metrics();

    let service = open(metrics).await?;
    let listen = env::var("LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());
    let listener = tokio::net::TcpListener::bind(listen).await?;
    tracing::info!("listening on {}", listener.local_addr()?);

    let (stop, mut terminate) = (CancellationToken::new(), signal(SignalKind::terminate())?);
    let stopping = stop.clone();
    tokio::spawn(async move {
        tokio::select! { _ = terminate.recv() => {} _ = ctrl_c() => {} }
        stopping.cancel();
    });
    // From SIGTERM or Ctrl-C on nothing is accepted, and what was accepted is answered.
    let served = axum::serve(listener, service.clone().router())
        .with_graceful_shutdown(stop.clone().cancelled_owned());
    let clock = SystemClock::new();
    tokio::select! {
        ended = served.into_future() => ended?,
        () = async { stop.cancelled().await; clock.sleep(GRACE).await } => {
            tracing::warn!("some clients have not read their answers");
        }
    }
    service.close().await;
    Ok(())
}

/// The service, as the environment says.
async fn open(metrics: PrometheusHandle) -> Result<Service, Box<dyn Error>> {
    let endpoint = Endpoint::from_env()?;
    let durability: Durability = match env::var("DURABILITY") {
        Ok(durability) => durability.parse()?,
        Err(_) => Durability::default(),
    };
    let deadline = match env::var("DEADLINE_MS") {
        Ok(millis) => Duration::from_millis(millis.parse()?),
        Err(_) => Duration::from_secs(5),
    };
    let mut policy = VaultPolicy::default();
    // A request that is sent again gets the same token.
    policy.deterministic = Deterministic::All;
    if let Ok(reason) = env::var("REVEAL") {
        policy.reveal = RevealPolicy::Allowed(reason);
    }
    let file = KeyFile::new(env::var("KEY_FILE")?);
    let (clock, entropy) = (SystemClock::new(), SystemEntropy);
    let keys = Keys::open(file, clock.clone(), entropy, Counting::Persisted).await?;
    let builder = Builder::new().durability(durability).deadline(deadline);
    let platform = (endpoint, clock, entropy);
    Service::open(platform, builder, keys, policy, metrics).await
}
