//! The host that the simulated Redis lives on.

use std::net::{IpAddr, Ipv4Addr};

use turmoil::net::TcpListener;

use super::{clock::sleep, command_faults::FaultGate, handle::WorldHandle, net::REDIS_PORT};
use crate::{plan::ServerFault, record::replica_name};
use redis_sim::server::{serve_connection, shared as gated};

/// Accepts connections for as long as the world lasts.
pub(crate) async fn run(world: WorldHandle) -> turmoil::Result {
    let replicas = world.process_count();
    let hosts: Vec<IpAddr> = (0..replicas)
        .map(|replica| turmoil::lookup(replica_name(replica)))
        .collect();
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, REDIS_PORT)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let Some(replica) = hosts.iter().position(|host| *host == peer.ip()) else {
            continue;
        };
        if world.command_faults(|faults| faults.is_down()) {
            // Dropping the stream resets it.
            continue;
        }
        if world.with_redis(|redis| redis.modes().max_clients.is_some()) {
            world.struck(ServerFault::MaxClients);
        }
        let gate = FaultGate::new(world.clone(), replica);
        let redis = world.redis();
        tokio::task::spawn_local(async move {
            // A connection that breaks is the ordinary end of one.
            let _ = serve_connection(stream, redis, gated(gate), sleep).await;
        });
    }
}
