//! A host of the simulated Redis.

use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex},
};

use super::{command_faults::FaultGate, handle::WorldHandle, net::REDIS_PORT};
use crate::plan::ServerFault;

/// Accepts connections for as long as the world lasts.
pub(crate) async fn run(world: WorldHandle, node: usize) -> turmoil::Result {
    let hosts: Vec<IpAddr> = world.client_hosts().map(turmoil::lookup).collect();
    let admit = |peer: SocketAddr| {
        let replica = hosts.iter().position(|host| *host == peer.ip())?;
        let is_down = world.nodes(|nodes| nodes.down == Some(node));
        if is_down || world.command_faults(|faults| faults.is_down()) {
            return None;
        }
        if world.with_redis(|redis| redis.modes().max_clients.is_some()) {
            world.struck(ServerFault::MaxClients);
        }
        let gate = FaultGate::new(world.clone(), replica, node);
        Some((world.redis_of(replica, node), Arc::new(Mutex::new(gate))))
    };
    redis_sim::turmoil::serve(REDIS_PORT, admit).await?;
    Ok(())
}
