//! The host that the simulated Redis lives on.

use std::net::{IpAddr, Ipv4Addr};

use turmoil::net::TcpListener;

use super::{
    clock::sleep,
    net::REDIS_PORT,
    shared::{Shared, replica_name},
    weather::Path,
};
use crate::fault::FaultKind;
use redis_sim::server::{serve_connection, shared as gated};

/// Accepts connections for as long as the world lasts.
pub(crate) async fn run(shared: Shared) -> turmoil::Result {
    let replicas = shared.process_count();
    let hosts: Vec<IpAddr> = (0..replicas)
        .map(|replica| turmoil::lookup(replica_name(replica)))
        .collect();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, REDIS_PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let Some(replica) = hosts.iter().position(|host| *host == peer.ip()) else {
            continue;
        };
        if shared.weather(|weather| weather.is_down()) {
            // Dropping the stream resets it.
            continue;
        }
        if shared.with_redis(|redis| redis.modes().max_clients.is_some()) {
            shared.struck(FaultKind::MaxClients);
        }
        let path = Path {
            shared: shared.clone(),
            replica,
            late: false,
        };
        let redis = shared.redis();
        tokio::task::spawn_local(async move {
            // A connection that breaks is the ordinary end of one.
            let _ = serve_connection(stream, redis, gated(path), sleep).await;
        });
    }
}
