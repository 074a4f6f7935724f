//! An operator, who reads what processes say about the state of Redis, and sees to it
//! after a while, on the primary.
//!
//! A process that says *rolled back* is started again, without what it has seen: its
//! anchors are moved elsewhere. Keys of
//! the chain that disagree are made from the list, as far as it goes, directly in Redis
//! rather than by the store's `Repair`, which refuses when more is lost. A version that
//! was lost alone is set to the number that receipts count.

use haechi_store_redis::redis::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use redis_sim::Reply;
use turmoil::Sim;

use super::{handle::WorldHandle, nemesis::Nemesis};
use crate::{
    plan::generator,
    record::Complaint,
    workload::{Host, Left},
};

/// How long an operator takes, and a process to start again, in milliseconds.
const REACTION_MS: std::ops::RangeInclusive<u64> = 20..=200;
const START_MS: u64 = 10;

/// What is to be done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Task {
    /// Stop this incarnation of a process.
    Stop(usize, u64),
    Start(usize),
    MendChain,
    MendVault,
}

/// Sees to what processes complain about.
pub(super) struct Operator {
    rng: ChaCha8Rng,
    /// What is to be done, and when.
    tasks: Vec<(u64, Task)>,
}

impl Operator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            rng: generator(seed, "operator"),
            tasks: Vec::new(),
        }
    }

    /// Does what is due at `now`.
    pub(super) fn step(
        &mut self,
        sim: &mut Sim<'_>,
        world: &WorldHandle,
        nemesis: &mut Nemesis,
        now: u64,
    ) {
        for (process, complaint) in world.take_complaints() {
            let task = match complaint {
                Complaint::RolledBack(_) => Task::Stop(process, world.incarnation(process)),
                Complaint::ChainDiverged => Task::MendChain,
                Complaint::VaultUnreadable => Task::MendVault,
            };
            if self.tasks.iter().all(|(_, other)| *other != task) {
                let due = now + self.rng.random_range(REACTION_MS);
                self.tasks.push((due, task));
            }
        }
        let (due, later) = self.tasks.drain(..).partition(|(due, _)| *due <= now);
        self.tasks = later;
        let due: Vec<(u64, Task)> = due;
        for (_, task) in due {
            match task {
                Task::Stop(process, incarnation) if world.incarnation(process) == incarnation => {
                    world.trace(|| format!("the operator restarts r{process}"));
                    nemesis.crash(sim, world, process, Left::Any);
                    // The last anchor counts as seen.
                    world.anchor_media(process).set_aside();
                    self.tasks.push((now + START_MS, Task::Start(process)));
                }
                Task::Stop(..) => {}
                Task::Start(process) => nemesis.bounce(sim, world, process),
                Task::MendChain => mend_chain(world),
                Task::MendVault => mend_vault(world),
            }
        }
    }
}

/// Makes head and head:hash from the end of the list.
fn mend_chain(world: &WorldHandle) {
    let keys = AuditKeys::new(AuditPrefix::default());
    let last = world.ask(&["LINDEX", &keys.chain, "-1"]);
    let integrity = last.as_ref().and_then(|last| {
        let record: serde_json::Value = serde_json::from_slice(last).ok()?;
        let integrity = record.get("auditIntegrity")?;
        Some((
            integrity.to_string(),
            integrity.get("eventHash")?.as_str()?.to_owned(),
        ))
    });
    match integrity {
        Some((head, hash)) => {
            world.ask(&["SET", &keys.head, &head]);
            world.ask(&["SET", &keys.head_hash, &hash]);
        }
        None => {
            world.ask(&["DEL", &keys.head, &keys.head_hash]);
        }
    }
    world.trace(|| "the operator makes head and head:hash from the list".to_owned());
}

/// Sets the version to the number that receipts count, if it is below.
fn mend_vault(world: &WorldHandle) {
    let keys = VaultKeys::new(VaultPrefix::default());
    let number = |text: Option<Vec<u8>>| {
        let text = String::from_utf8(text.unwrap_or_default()).unwrap_or_default();
        text.parse::<u64>().unwrap_or(0)
    };
    let own = number(world.ask(&["HGET", &keys.receipts, "#own"]));
    if number(world.ask(&["GET", &keys.version])) < own {
        world.ask(&["SET", &keys.version, &own.to_string()]);
        world.trace(|| format!("the operator sets the version to {own}"));
    }
}

impl WorldHandle {
    /// Runs a command of the operator; returns the reply if it is a string.
    fn ask(&self, words: &[&str]) -> Option<Vec<u8>> {
        let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
        match self.run(&words) {
            Some(Reply::Bulk(text)) => Some(text.to_vec()),
            _ => None,
        }
    }
}
