//! The servers of a world that have data, and which of them takes writes: one, or two
//! that Sentinels or a cluster choose from.

use std::sync::Arc;

use redis_sim::{SharedRedis, Snapshot};

use super::{
    cluster::{Slot, has},
    handle::{WorldHandle, lock},
    net::{DATA_HOSTS, REDIS_PORT},
    sentinels::Sentinels,
};
use crate::record::StoreKeys;

/// What the trace says of a server that takes the writes from now on, after its name.
pub(crate) const PROMOTED: &str = " becomes the primary";

/// The servers, by their hosts.
pub(super) struct DataNodes {
    servers: Vec<SharedRedis>,
    primary: usize,
    /// One that does not run.
    pub(super) down: Option<usize>,
    pub(super) slot: Slot,
    pub(super) sentinels: Sentinels,
}

impl DataNodes {
    pub(super) fn new(servers: Vec<SharedRedis>) -> Self {
        Self {
            servers,
            primary: 0,
            down: None,
            slot: Slot::Served,
            sentinels: Sentinels::default(),
        }
    }

    /// The server that takes the writes that stay.
    pub(super) fn primary(&self) -> SharedRedis {
        self.servers[self.primary].clone()
    }
}

impl WorldHandle {
    /// The number of the node that takes the writes that stay.
    pub(super) fn primary_node(&self) -> usize {
        self.nodes(|nodes| nodes.primary)
    }

    /// The number of a node that does not; there are two.
    pub(super) fn other_node(&self) -> usize {
        1 - self.primary_node()
    }

    pub(super) fn server(&self, node: usize) -> SharedRedis {
        self.nodes(|nodes| nodes.servers[node].clone())
    }

    pub(super) fn all_servers(&self) -> Vec<SharedRedis> {
        self.nodes(|nodes| nodes.servers.clone())
    }

    /// All data, wherever it is: while a slot moves, keys are on either node.
    pub(super) fn data(&self) -> Snapshot {
        let data = self.with_redis(|redis| redis.snapshot());
        if !self.is_moving() {
            return data;
        }
        let other = self.server(self.other_node());
        let other = lock(&other);
        let moved = other.snapshot();
        let whole = self.copy(&data);
        let mut whole = lock(&whole);
        for (key, _) in other.keyspace().iter() {
            whole.restore_key(&moved, key);
        }
        whole.snapshot()
    }

    /// The other node takes the writes from now on.
    pub(super) fn becomes_primary(&self) {
        let promoted = self.nodes(|nodes| {
            nodes.primary = 1 - nodes.primary;
            nodes.primary()
        });
        let mut promoted = lock(&promoted);
        promoted.modes().readonly = false;
        promoted.configure("replicaof", "");
        let host = DATA_HOSTS[self.primary_node()];
        self.trace(|| format!("{host}{PROMOTED}"));
    }

    /// The same, on this data.
    pub(super) fn promote(&self, keys: &StoreKeys, data: &Snapshot) {
        self.becomes_primary();
        self.with_redis(|redis| {
            redis.restore(data);
            redis.restart();
            // Locks of then could outlast the world, where the server's clock has jumped.
            for key in [&keys.audit.lock, &keys.vault.lock] {
                redis.restore_key(&Snapshot::default(), key.as_bytes());
            }
        });
        self.locks_changed_by_fault();
    }

    /// The node that is not the primary replicates from it.
    pub(super) fn becomes_replica(&self, node: usize) {
        let data = self.with_redis(|redis| redis.snapshot());
        let replica = self.server(node);
        let mut replica = lock(&replica);
        replica.restore(&data);
        replica.modes().readonly = true;
        let primary = DATA_HOSTS[self.primary_node()];
        replica.configure("replicaof", &format!("{primary} {REDIS_PORT}"));
        drop(replica);
        self.trace(|| format!("{} becomes a replica of {primary}", DATA_HOSTS[node]));
        self.command_faults(|faults| faults.cut_all_at(node));
    }

    /// The server that has a key, or where it would be created: while a slot moves, either.
    pub(super) fn server_with(&self, key: &str) -> SharedRedis {
        let primary = self.redis();
        if !self.is_moving() || has(&lock(&primary), key.as_bytes(), self.millis()) {
            return primary;
        }
        self.server(self.other_node())
    }

    /// Whether this server is the one that takes the writes that stay.
    pub(super) fn is_primary(&self, redis: &SharedRedis) -> bool {
        Arc::ptr_eq(redis, &self.redis())
    }
}
