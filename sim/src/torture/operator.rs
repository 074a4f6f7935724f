//! An operator, who reads what processes say about the state of Redis, and sees to it
//! after a while, with the store's own means.
//!
//! A process that says *rolled back* is started again, without what it has seen, after the
//! loss of what it names was accepted (`Builder::resume`). Keys of the chain that disagree
//! are repaired (`Repair`), and what is lost with them is accepted. Where the store refuses
//! that, and for the vault's version, the operator of worlds is the model: head and
//! head:hash are made from the list, and a version that was lost alone is set to the number
//! that receipts count.

use std::{collections::BTreeMap, convert::Infallible, sync::Arc, time::Duration};

use haechi_history::OpId;
use haechi_store_redis::{
    Builder,
    chain::StoredRecord,
    clock::{Clock, SystemClock},
    crypto::{KeyFile, LocalKeys},
    entropy::SystemEntropy,
};
use rand::RngExt;
use redis::{Client, FromRedisValue, RedisResult, Value};

use super::{
    POLL,
    nemesis::Nemesis,
    replica::{Order, Replica},
    server::query,
};
use crate::{
    plan::generator,
    record::{Complaint, Gone},
    workload::operating::{KnownEntropy, Repaired, accept, repair},
};

/// How long an operator takes, and a process to start again, in milliseconds.
const REACTION_MS: std::ops::RangeInclusive<u64> = 20..=200;
const START: Duration = Duration::from_millis(10);

/// How long the store may take with what the operator asks of it.
const DEADLINE: Duration = Duration::from_secs(2);

/// Sees to what processes complain about.
pub(super) struct Operator<'a> {
    pub(super) nemesis: &'a Nemesis<'a>,
    pub(super) replicas: &'a [Replica],
}

impl Operator<'_> {
    /// Works for ever.
    pub(super) async fn run(&self, seed: u64) -> Infallible {
        let Nemesis {
            recorder, clock, ..
        } = self.nemesis;
        let mut rng = generator(seed, "operator");
        // The incarnations that were ended.
        let mut ended: BTreeMap<usize, u64> = BTreeMap::new();
        loop {
            clock.sleep(POLL).await;
            let mut complaints = recorder.take_complaints();
            complaints.sort_unstable();
            complaints.dedup();
            for (process, complaint) in complaints {
                let incarnation = recorder.incarnation(process);
                let is_over = ended.get(&process) >= Some(&incarnation);
                if is_over || process >= self.replicas.len() {
                    continue;
                }
                let reaction = Duration::from_millis(rng.random_range(REACTION_MS));
                clock.sleep(reaction).await;
                // Not while data is being lost.
                let _alone = self.nemesis.alone.lock().await;
                match complaint {
                    Complaint::RolledBack(_) | Complaint::VaultRolledBack => {
                        if let Complaint::RolledBack(gone) = complaint {
                            self.accept(&gone).await;
                        }
                        ended.insert(process, incarnation);
                        self.replicas[process].order(Order::Crash(START));
                    }
                    Complaint::ChainDiverged => self.repair().await,
                    Complaint::VaultUnreadable => {
                        // Whether the server answers or not: processes say it again.
                        let _ = self.mend_vault();
                    }
                }
            }
        }
    }

    fn client(&self) -> RedisResult<Client> {
        let port = *self.nemesis.primary.borrow();
        Client::open(format!("redis://127.0.0.1:{port}/"))
    }

    fn entropy(&self, op: OpId) -> KnownEntropy<SystemEntropy> {
        KnownEntropy {
            entropy: SystemEntropy,
            recorder: self.nemesis.recorder.clone(),
            op,
        }
    }

    fn builder(&self, op: OpId) -> Builder<SystemClock, KnownEntropy<SystemEntropy>> {
        Builder::new()
            .clock(self.nemesis.clock.clone())
            .entropy(self.entropy(op))
            .deadline(DEADLINE)
    }

    /// Accepts the loss of what a process says is gone.
    async fn accept(&self, gone: &Gone) {
        let recorder = self.nemesis.recorder;
        let Ok(client) = self.client() else {
            return;
        };
        let builder = |op| self.builder(op);
        accept(recorder, builder, &client, gone, no_keys()).await;
    }

    /// Repairs the chain whose keys disagree.
    async fn repair(&self) {
        let recorder = self.nemesis.recorder;
        let Ok(client) = self.client() else {
            return;
        };
        let (builder, entropy) = (|op| self.builder(op), |op| self.entropy(op));
        let clock = self.nemesis.clock;
        let repaired = repair(recorder, builder, entropy, &client, clock, DEADLINE).await;
        if repaired == Repaired::Refused {
            // Whether the server answers or not: processes say it again.
            let _ = self.mend_chain();
        }
    }

    /// Makes head and head:hash from the end of the list.
    fn mend_chain(&self) -> RedisResult<()> {
        let keys = &self.nemesis.keys.audit;
        let mut connection = self.client()?.get_connection_with_timeout(DEADLINE)?;
        let last = query(&mut connection, &["LINDEX", &keys.chain, "-1"])?;
        let last: Option<Vec<u8>> = FromRedisValue::from_redis_value(last)?;
        let parts = last.as_ref().and_then(|last| {
            let hash = StoredRecord::parse(last).ok()?.position.event_hash;
            let record: serde_json::Value = serde_json::from_slice(last).ok()?;
            Some((record.get("auditIntegrity")?.to_string(), hash.to_string()))
        });
        match parts {
            Some((head, hash)) => query(
                &mut connection,
                &["MSET", &keys.head, &head, &keys.head_hash, &hash],
            )?,
            None => query(&mut connection, &["DEL", &keys.head, &keys.head_hash])?,
        };
        Ok(())
    }

    /// Sets the version to the number that receipts count, if it is below.
    fn mend_vault(&self) -> RedisResult<()> {
        let keys = &self.nemesis.keys.vault;
        let mut connection = self.client()?.get_connection_with_timeout(DEADLINE)?;
        let number = |value: Value| {
            let text: Option<String> = FromRedisValue::from_redis_value(value).ok()?;
            text?.parse::<u64>().ok()
        };
        let own = number(query(&mut connection, &["HGET", &keys.receipts, "#own"])?);
        let version = number(query(&mut connection, &["GET", &keys.version])?);
        if let Some(own) = own
            && version < Some(own)
        {
            query(&mut connection, &["SET", &keys.version, &own.to_string()])?;
        }
        Ok(())
    }
}

/// The record is not for other processes to go on from: an operator restarts each.
fn no_keys() -> Option<(Arc<LocalKeys<KeyFile>>, bool)> {
    None
}
