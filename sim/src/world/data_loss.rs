//! Faults that lose data: other data is put in the place of what the server has, and
//! the two are compared to record what is lost.

use std::time::Duration;

use bytes::Bytes;
use haechi_history::{Durability, Split};
use redis_sim::{Redis, SharedRedis, Snapshot, Value};

use super::{command_faults::CommandFaults, handle::WorldHandle, handle::lock};
use crate::{
    plan::{Fault, LossFault},
    record::{Contents, Situation, StoreKeys, has_taken, nanos},
};

/// Two primaries, until one is demoted.
pub(super) struct TwoPrimaries {
    fault: Fault,
    /// Since when, in nanoseconds.
    since: u64,
    /// What both had then.
    shared: Snapshot,
    demoted: SharedRedis,
    processes: Vec<usize>,
    /// The node of the one that will be demoted, where processes find the other by
    /// themselves.
    node: Option<usize>,
}

impl StoreKeys {
    /// Takes data from the primary; `older` is what it had some time ago. Returns
    /// whether that changed anything.
    pub(super) fn strike(
        &self,
        world: &WorldHandle,
        kind: LossFault,
        fault: Fault,
        older: &Snapshot,
    ) -> bool {
        let before = world.with_redis(|redis| redis.snapshot());
        let empty = Snapshot::default();
        let amount = fault.amount.unsigned_abs();
        let all: Vec<&[u8]> = self.all.iter().map(|key| key.as_bytes()).collect();
        let one = self.one(amount).as_bytes();
        world.with_redis(|redis| take_data(redis, kind, amount, older, &all, one));
        if !kind.strikes_keys() {
            // Locks of then could outlast the world, where the server's clock has jumped.
            world.with_redis(|redis| {
                for lock in [&self.audit.lock, &self.vault.lock] {
                    redis.restore_key(&empty, lock.as_bytes());
                }
            });
            world.locks_changed_by_fault();
        }
        if kind.restarts() || kind == LossFault::LaggingReplicaPromoted {
            world.command_faults(CommandFaults::cut_all);
        }
        let after = world.with_redis(|redis| redis.snapshot());
        self.lose(world, kind, fault, &before, &after);
        kind.restarts() || kind == LossFault::LaggingReplicaPromoted || before != after
    }

    /// Records what a fault took.
    pub(super) fn lose(
        &self,
        world: &WorldHandle,
        kind: LossFault,
        fault: Fault,
        before: &Snapshot,
        after: &Snapshot,
    ) {
        let (had, has) = (self.contents(before), self.contents(after));
        let mut loss = had.lost(&has);
        loss.fault = fault.kind.name().into();
        loss.key_by_key = kind.strikes_keys();
        // Of no other fault an acknowledgement can promise that it is survived.
        let covered_by = match kind {
            LossFault::UnsyncedTailLost => Some(Durability::Fsync),
            LossFault::LaggingReplicaPromoted | LossFault::ClusterFailover => all_replicas(world),
            _ => None,
        };
        loss.covered_by = Some(covered_by.into_iter().collect());
        if has_taken(&loss) {
            world.lost(loss, &had);
        }
    }

    /// The other node becomes a primary with this data; processes go on with the one before
    /// until they find it.
    pub(super) fn fail_over(
        &self,
        world: &WorldHandle,
        fault: Fault,
        shared: &Snapshot,
    ) -> TwoPrimaries {
        let (node, demoted) = (world.primary_node(), world.redis());
        world.promote(self, shared);
        if let Some(replicas) = world.redis_replicas() {
            world.with_redis(|redis| world.set_replicas(redis, 0));
            world.set_replicas(&mut lock(&demoted), replicas.saturating_sub(1));
        }
        let lag = Duration::from_millis(fault.amount.unsigned_abs());
        TwoPrimaries {
            fault,
            since: nanos(world.now().saturating_sub(lag)),
            shared: shared.clone(),
            demoted,
            processes: (0..world.process_count()).collect(),
            node: Some(node),
        }
    }

    /// Takes data from a primary that evicts since then.
    pub(super) fn evict(&self, world: &WorldHandle, fault: Fault, since: Duration) {
        let older = world.with_redis(|redis| redis.snapshot());
        self.strike(world, LossFault::EvictingRestart, fault, &older);
        world.evicted_since(since);
    }

    /// Begins a fault of two primaries: some processes stay with the one that will be
    /// demoted.
    pub(super) fn split(&self, world: &WorldHandle, fault: Fault) -> TwoPrimaries {
        let shared = world.with_redis(|redis| redis.snapshot());
        let demoted = world.copy(&shared);
        let chosen = |process: &usize| fault.amount >> (process % 13) & 1 == 1;
        let processes: Vec<usize> = (0..world.process_count()).filter(chosen).collect();
        // Commands under way have gone to the one that will be demoted: they are lost,
        // and do not run at the promoted one.
        world.with_redis(redis_sim::Redis::restart);
        // One replica was promoted; the others stay with the one that will be demoted.
        if let Some(replicas) = world.redis_replicas() {
            world.with_redis(|redis| world.set_replicas(redis, 0));
            world.set_replicas(&mut lock(&demoted), replicas.saturating_sub(1));
        }
        world.command_faults(CommandFaults::cut_all);
        for process in &processes {
            world.connect_to_demoted(*process, Some(demoted.clone()));
        }
        TwoPrimaries {
            fault,
            since: nanos(world.now()),
            shared,
            demoted,
            processes,
            node: None,
        }
    }

    /// One of two primaries is demoted: what it was given alone is lost.
    pub(super) fn unite(&self, world: &WorldHandle, two: &TwoPrimaries) {
        // What waits there is told.
        lock(&two.demoted).modes().readonly = true;
        if let Some(replicas) = world.redis_replicas() {
            world.with_redis(|redis| world.set_replicas(redis, replicas));
        }
        let before = lock(&two.demoted).snapshot();
        match two.node {
            Some(node) => {
                world.becomes_replica(node);
                world.nodes(|nodes| nodes.sentinels.demoted());
            }
            None => {
                for process in &two.processes {
                    world.connect_to_demoted(*process, None);
                }
            }
        }
        let (had, has) = (self.contents(&before), self.contents(&two.shared));
        let mut loss = had.lost(&has);
        loss.tokens.clear();
        loss.fault = two.fault.kind.name().into();
        loss.covered_by = Some(all_replicas(world).into_iter().collect());
        let names = two
            .processes
            .iter()
            .flat_map(|number| world.names_of(*number));
        loss.split = Some(Split {
            since: two.since,
            processes: names.map(Into::into).collect(),
            moving: two.node.is_some(),
        });
        if two.node.is_some() {
            let kept = world.with_redis(|redis| redis.snapshot());
            let mut gone = had.applied();
            for kept in [&two.shared, &kept] {
                let kept = self.contents(kept).applied();
                gone.retain(|mutation, version| kept.get(mutation) != Some(version));
            }
            loss.ops = Some(world.ops_of(&gone));
            if has_taken(&loss) {
                world.meets(Situation::DeposedPrimaryWrote);
            }
        }
        world.lost(loss, &had);
    }

    fn contents(&self, data: &Snapshot) -> Contents {
        let hash = |key: &str| match data.peek(key.as_bytes()) {
            Some(Value::Hash(hash)) => hash.iter().collect(),
            _ => Vec::new(),
        };
        let owned = |(field, value): (&Bytes, &Bytes)| (field.clone(), value.clone());
        let list: Vec<Bytes> = match data.peek(self.audit.chain.as_bytes()) {
            Some(Value::List(list)) => list.iter().cloned().collect(),
            _ => Vec::new(),
        };
        let version = match data.peek(self.vault.version.as_bytes()) {
            Some(Value::Text(text)) => Some(&text[..]),
            _ => None,
        };
        Contents::new(
            list,
            hash(&self.vault.tokens).into_iter().map(owned),
            version,
            hash(&self.vault.receipts).into_iter().map(owned),
        )
    }
}

impl TwoPrimaries {
    /// Whether the disk of the one that will be demoted gets what is written from now on.
    pub(super) fn hold_disk(&self, is_held: bool) {
        lock(&self.demoted).hold_disk(is_held);
    }

    pub(super) fn is_of(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

/// Takes data from a server that has the keys `all`, or `one` of them; `older` is what it had
/// some time ago.
pub(crate) fn take_data(
    redis: &mut Redis,
    kind: LossFault,
    amount: u64,
    older: &Snapshot,
    all: &[&[u8]],
    one: &[u8],
) {
    let empty = Snapshot::default();
    match kind {
        LossFault::UnsyncedTailLost
        | LossFault::CrashWithoutAof
        | LossFault::SnapshotRestored
        | LossFault::LaggingReplicaPromoted => {
            let has_none = kind == LossFault::CrashWithoutAof && amount == 0;
            redis.restore(if has_none { &empty } else { older });
            redis.restart();
        }
        LossFault::Flushall => redis.restore(&empty),
        LossFault::KeysEvicted | LossFault::EvictingRestart => {
            let is_evicted = |number: usize| amount >> (number % 10) & 1 == 1;
            let keys = all.iter().enumerate();
            for (_, key) in keys.filter(|(number, _)| is_evicted(*number)) {
                redis.restore_key(&empty, key);
            }
        }
        LossFault::KeyDeleted => redis.restore_key(&empty, one),
        LossFault::KeyRestored => redis.restore_key(older, one),
        // They begin and end.
        LossFault::SplitBrain | LossFault::SentinelFailover | LossFault::ClusterFailover => {}
    }
}

/// What survives the loss of the primary, whichever of its replicas is promoted.
fn all_replicas(world: &WorldHandle) -> Option<Durability> {
    let count = u32::try_from(world.redis_replicas()?).ok()?;
    (count > 0).then_some(Durability::Replicas(count))
}
