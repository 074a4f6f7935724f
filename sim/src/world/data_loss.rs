//! Faults that lose data: other data is put in the place of what the server has, and
//! the two are compared to record what is lost.

use std::collections::{BTreeMap, BTreeSet};

use bytes::Bytes;
use haechi_history::{Durability, Loss, Split};
use haechi_store_redis::{
    chain::StoredRecord,
    redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix},
};
use redis_sim::{SharedRedis, Snapshot, Value};

use super::{command_faults::CommandFaults, handle::WorldHandle, handle::lock};
use crate::{
    plan::{Fault, Knobs, LossFault},
    record::nanos,
};

/// The keys that faults strike, of the stores that a world has; locks have faults of
/// their own.
pub(super) struct StoreKeys {
    audit: AuditKeys,
    vault: VaultKeys,
    all: Vec<String>,
}

/// Two primaries, until one is demoted.
pub(super) struct TwoPrimaries {
    fault: Fault,
    /// Since when, in nanoseconds.
    since: u64,
    /// What both had then.
    shared: Snapshot,
    demoted: SharedRedis,
    processes: Vec<usize>,
}

/// What there is of the chain and the vault.
struct Contents<'a> {
    records: Vec<(String, &'a [u8])>,
    tokens: BTreeMap<&'a Bytes, &'a Bytes>,
    version: u64,
    /// The receipts of mutations.
    receipts: BTreeMap<&'a Bytes, &'a Bytes>,
}

impl StoreKeys {
    pub(super) fn new(knobs: &Knobs) -> Self {
        let audit = AuditKeys::new(AuditPrefix::default());
        let vault = VaultKeys::new(VaultPrefix::default());
        let mut all = Vec::new();
        if knobs.workload.has_chain() {
            all.extend([&audit.chain, &audit.head, &audit.head_hash].map(Clone::clone));
        }
        if knobs.workload.has_vault() {
            let keys = [
                &vault.tokens,
                &vault.version,
                &vault.receipts,
                &vault.expiry,
            ];
            all.extend(keys.map(Clone::clone));
        }
        Self { audit, vault, all }
    }

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
        let one = |number: u64| &self.all[number as usize % self.all.len()];
        let amount = fault.amount.unsigned_abs();
        world.with_redis(|redis| match kind {
            LossFault::UnsyncedTailLost
            | LossFault::CrashWithoutAof
            | LossFault::SnapshotRestored
            | LossFault::LaggingReplicaPromoted => {
                redis.restore(if amount == 0 { &empty } else { older });
                redis.restart();
            }
            LossFault::Flushall => redis.restore(&empty),
            LossFault::KeysEvicted => {
                let is_evicted = |number: usize| amount >> (number % 10) & 1 == 1;
                let keys = self.all.iter().enumerate();
                for (_, key) in keys.filter(|(number, _)| is_evicted(*number)) {
                    redis.restore_key(&empty, key.as_bytes());
                }
            }
            LossFault::KeyDeleted => redis.restore_key(&empty, one(amount).as_bytes()),
            LossFault::KeyRestored => redis.restore_key(older, one(amount).as_bytes()),
            // It begins and ends.
            LossFault::SplitBrain => {}
        });
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
        let (had, has) = (self.contents(&before), self.contents(&after));
        let mut loss = lost(&had, &has);
        loss.fault = fault.kind.name().into();
        loss.key_by_key = kind.strikes_keys();
        // Of no other fault an acknowledgement can promise that it is survived.
        let covered_by = (kind == LossFault::UnsyncedTailLost).then_some(Durability::Fsync);
        loss.covered_by = Some(covered_by.into_iter().collect());
        let is_lost = |(hash, _): &&(String, &[u8])| loss.hashes.iter().any(|lost| **lost == *hash);
        let records: Vec<&[u8]> = had
            .records
            .iter()
            .filter(is_lost)
            .map(|(_, text)| *text)
            .collect();
        if has_taken(&loss) {
            loss.ops = Some(world.under_way(&had.applied()));
            world.lost(loss, records.into_iter());
        }
        kind.restarts() || kind == LossFault::LaggingReplicaPromoted || before != after
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
        }
    }

    /// One of two primaries is demoted: what it was given alone is lost.
    pub(super) fn unite(&self, world: &WorldHandle, two: &TwoPrimaries) {
        for process in &two.processes {
            world.connect_to_demoted(*process, None);
        }
        let before = lock(&two.demoted).snapshot();
        let (had, has) = (self.contents(&before), self.contents(&two.shared));
        let mut loss = lost(&had, &has);
        loss.tokens.clear();
        loss.fault = two.fault.kind.name().into();
        loss.covered_by = Some(Vec::new());
        let names = two
            .processes
            .iter()
            .flat_map(|number| world.names_of(*number));
        loss.split = Some(Split {
            since: two.since,
            processes: names.map(Into::into).collect(),
        });
        loss.ops = Some(world.under_way(&had.applied()));
        let records: Vec<&[u8]> = had.records[has.records.len().min(had.records.len())..]
            .iter()
            .map(|(_, text)| *text)
            .collect();
        world.lost(loss, records.into_iter());
    }

    fn contents<'a>(&self, data: &'a Snapshot) -> Contents<'a> {
        let text = |key: &str| match data.peek(key.as_bytes()) {
            Some(Value::Text(text)) => std::str::from_utf8(text).ok(),
            _ => None,
        };
        let hash = |key: &str| match data.peek(key.as_bytes()) {
            Some(Value::Hash(hash)) => Some(hash),
            _ => None,
        };
        let records = match data.peek(self.audit.chain.as_bytes()) {
            Some(Value::List(list)) => list
                .iter()
                .filter_map(|text| {
                    let record = StoredRecord::parse(text).ok()?;
                    Some((record.position.event_hash.to_string(), &**text))
                })
                .collect(),
            _ => Vec::new(),
        };
        let receipts = hash(&self.vault.receipts).into_iter().flatten();
        Contents {
            records,
            tokens: hash(&self.vault.tokens).into_iter().flatten().collect(),
            version: text(&self.vault.version)
                .and_then(|version| version.parse().ok())
                .unwrap_or(0),
            receipts: receipts.filter(|(id, _)| !id.starts_with(b"#")).collect(),
        }
    }
}

impl Contents<'_> {
    /// The mutations that were applied, and at which versions, by their receipts.
    fn applied(&self) -> BTreeMap<String, u64> {
        let version = |receipt: &Bytes| {
            let mut words = std::str::from_utf8(receipt).ok()?.split(' ');
            (words.next()? == "done").then(|| words.next()?.parse().ok())?
        };
        let name = |id: &Bytes| String::from_utf8_lossy(id).into_owned();
        let receipts = self.receipts.iter();
        receipts
            .filter_map(|(id, receipt)| Some((name(id), version(receipt)?)))
            .collect()
    }
}

impl TwoPrimaries {
    pub(super) fn is_of(&self, fault: Fault) -> bool {
        self.fault == fault
    }
}

/// What there was and is not any more.
fn lost(had: &Contents<'_>, has: &Contents<'_>) -> Loss<haechi_history::Text<'static>> {
    let kept: BTreeSet<&str> = has.records.iter().map(|(hash, _)| &**hash).collect();
    let hashes = had.records.iter().map(|(hash, _)| hash);
    let tokens: BTreeSet<&Bytes> = had
        .tokens
        .keys()
        .chain(has.tokens.keys())
        .copied()
        .collect();
    let differs = |token: &&Bytes| had.tokens.get(token) != has.tokens.get(token);
    Loss {
        hashes: hashes
            .filter(|hash| !kept.contains(hash.as_str()))
            .map(|hash| hash.clone().into())
            .collect(),
        tokens: tokens
            .into_iter()
            .filter(differs)
            .map(|token| String::from_utf8_lossy(token).into_owned().into())
            .collect(),
        versions: (has.version + 1..=had.version).collect(),
        receipts: had.receipts.keys().any(|id| !has.receipts.contains_key(id)),
        ..Loss::default()
    }
}

fn has_taken<T>(loss: &Loss<T>) -> bool {
    !loss.hashes.is_empty() || !loss.tokens.is_empty() || !loss.versions.is_empty() || loss.receipts
}
