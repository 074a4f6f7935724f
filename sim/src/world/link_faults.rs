//! The faults of the links between one process and the hosts of Redis.

use std::time::Duration;

use turmoil::Sim;

use super::{handle::WorldHandle, nemesis::Nemesis, net::hosts};
use crate::plan::{Fault, LinkFault};

impl Nemesis {
    /// The hosts whose links a fault strikes.
    fn struck_hosts(&self, fault: Fault) -> impl Iterator<Item = &'static str> + use<> {
        let chosen = match fault.strikes_hosts() {
            true => fault.amount,
            false => 0,
        };
        let is_struck = move |place: usize| chosen == 0 || chosen >> place & 1 == 1;
        let hosts = hosts(self.topology).enumerate();
        hosts.filter_map(move |(place, host)| is_struck(place).then_some(host))
    }

    pub(super) fn begin_link(
        &self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        host: &str,
        kind: LinkFault,
        fault: Fault,
    ) {
        let replica = fault.replica.unwrap_or_default();
        match kind {
            LinkFault::LaggingReplica => {
                let data = self.replicated.get(&(self.next - 1));
                return world.connect_to_replica(replica, data);
            }
            LinkFault::NodeReplaced => {
                return world.command_faults(|faults| faults.replace_node(replica, fault));
            }
            _ => {}
        }
        for redis in self.struck_hosts(fault) {
            world.nodes(|nodes| nodes.sentinels.disturb(replica, redis));
            strike_link(sim, host, redis, kind, fault);
        }
    }

    pub(super) fn end_link(
        &self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        host: &str,
        kind: LinkFault,
        fault: Fault,
        now: u64,
    ) {
        let replica = fault.replica.unwrap_or_default();
        if kind == LinkFault::LaggingReplica {
            world.connect_to_replica(replica, None);
        }
        for redis in self.struck_hosts(fault) {
            // The second is instant.
            if matches!(kind, LinkFault::LaggingReplica | LinkFault::NodeReplaced) {
                continue;
            }
            calm_link(sim, host, redis, kind, self.latency);
            world.nodes(|nodes| nodes.sentinels.calm(replica, redis, now));
        }
    }
}

/// Disturbs the link between a process and one host of Redis.
pub(crate) fn strike_link(
    sim: &mut Sim<'_>,
    host: &str,
    redis: &str,
    kind: LinkFault,
    fault: Fault,
) {
    match kind {
        LinkFault::LatencySpike => {
            let latency = Duration::from_millis(fault.amount.unsigned_abs());
            sim.set_link_latency(host, redis, latency);
        }
        LinkFault::Partition => sim.partition(host, redis),
        LinkFault::PartitionToRedis => sim.partition_oneway(host, redis),
        LinkFault::PartitionFromRedis => sim.partition_oneway(redis, host),
        LinkFault::HeldLink => sim.hold(host, redis),
        LinkFault::LaggingReplica | LinkFault::NodeReplaced => {}
    }
}

/// Takes that back; `latency` is the least and the most that the link has without a fault.
pub(crate) fn calm_link(
    sim: &mut Sim<'_>,
    host: &str,
    redis: &str,
    kind: LinkFault,
    latency: (Duration, Duration),
) {
    match kind {
        LinkFault::LatencySpike => {
            sim.set_link_latency(host, redis, latency.0);
            sim.set_link_max_message_latency(host, redis, latency.1);
        }
        LinkFault::Partition => sim.repair(host, redis),
        LinkFault::PartitionToRedis => sim.repair_oneway(host, redis),
        LinkFault::PartitionFromRedis => sim.repair_oneway(redis, host),
        LinkFault::HeldLink => sim.release(host, redis),
        LinkFault::LaggingReplica | LinkFault::NodeReplaced => {}
    }
}
