//! The faults of Sentinels and clusters, as the nemesis carries them out.

use std::time::Duration;

use rand::RngExt;
use redis_sim::{Redis, Snapshot};

use super::{
    cluster::Slot,
    handle::{WorldHandle, lock},
    nemesis::Nemesis,
};
use crate::plan::{Fault, LossFault, ServerFault};

/// A node of a cluster that is gone, and what its replica has.
pub(super) struct OwnerGone {
    fault: Fault,
    node: usize,
    older: Snapshot,
    is_replaced: bool,
}

impl Nemesis {
    /// Sentinel promotes the other node, on what it had some time ago.
    pub(super) fn begin_sentinel_failover(
        &mut self,
        world: &WorldHandle,
        fault: Fault,
        older: &Snapshot,
    ) -> bool {
        let two = self.keys.fail_over(world, fault, older);
        self.replicated.clear();
        self.split.push(two);
        // All hear well before the deposed primary is demoted, unless the one that leads is
        // killed before it has told them.
        let later = fault.lasts / 5..=fault.lasts * 2 / 5;
        let mut heard = [(); 3].map(|()| fault.at + self.rng.random_range(later.clone()));
        let leader = self.rng.random_range(0..heard.len());
        heard[leader] = fault.at + self.rng.random_range(0..=fault.lasts / 10);
        let node = world.primary_node();
        world.nodes(|nodes| nodes.sentinels.promoted(node, fault.at, heard));
        true
    }

    /// The owner of the slot dies.
    pub(super) fn begin_cluster_failover(
        &mut self,
        world: &WorldHandle,
        fault: Fault,
        older: Snapshot,
    ) -> bool {
        let node = world.primary_node();
        world.with_redis(Redis::restart);
        world.nodes(|nodes| {
            nodes.down = Some(node);
            nodes.slot = Slot::OwnerGone;
        });
        world.command_faults(|faults| faults.cut_all_at(node));
        self.gone = Some(OwnerGone {
            fault,
            node,
            older,
            is_replaced: false,
        });
        true
    }

    /// The slot begins to move.
    pub(super) fn begin_migration(&mut self, world: &WorldHandle) -> bool {
        self.finish_cluster(world);
        world.begin_move(&mut self.rng);
        true
    }

    /// Goes on with what takes its time, at `now` in milliseconds.
    pub(super) fn step_failovers(&mut self, world: &WorldHandle, now: u64) {
        world.nodes(|nodes| nodes.sentinels.step(now));
        let migration = self.active.iter().rev();
        let mut migration =
            migration.filter(|fault| fault.kind == ServerFault::SlotMigration.into());
        if let Some(fault) = migration.next() {
            let millis = Duration::from_millis;
            world.go_on_moving(millis(now.saturating_sub(fault.at)), millis(fault.lasts));
        }
        let Some(gone) = &self.gone else { return };
        let passed = now.saturating_sub(gone.fault.at);
        if gone.is_replaced {
            return;
        }
        if passed >= gone.fault.lasts * 3 / 4 {
            self.replace_owner(world);
        } else if passed >= gone.fault.lasts / 2 {
            world.nodes(|nodes| nodes.slot = Slot::Unserved);
        }
    }

    /// A replica serves the slot.
    fn replace_owner(&mut self, world: &WorldHandle) {
        let Some(gone) = self.gone.as_mut().filter(|gone| !gone.is_replaced) else {
            return;
        };
        gone.is_replaced = true;
        let before = world.with_redis(|redis| redis.snapshot());
        world.promote(&self.keys, &gone.older);
        world.nodes(|nodes| nodes.slot = Slot::Served);
        let after = world.with_redis(|redis| redis.snapshot());
        let fault = gone.fault;
        self.keys
            .lose(world, LossFault::ClusterFailover, fault, &before, &after);
        if let Some(replicas) = world.redis_replicas() {
            world.with_redis(|redis| world.set_replicas(redis, replicas));
        }
        self.replicated.clear();
    }

    /// Whatever goes on in a cluster is over: the slot has moved, or its owner was replaced
    /// and has come back as a replica.
    pub(super) fn finish_cluster(&mut self, world: &WorldHandle) {
        world.end_move();
        self.replace_owner(world);
        if let Some(gone) = self.gone.take() {
            world.nodes(|nodes| nodes.down = None);
            lock(&world.server(gone.node)).restart();
            world.becomes_replica(gone.node);
        }
    }
}
