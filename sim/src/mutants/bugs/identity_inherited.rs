//! An append takes the identity of one whose caller gave up, and is answered
//! with that one's record: as if its caller had asked again.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Mutex,
};

use haechi_store_redis::{
    AppendError, AttemptError, DurabilityStatus,
    audit::{
        AnchorStatus, Appended, AuditSink,
        store::{Batch, Reply},
    },
    chain::{AppendId, Event, EventHash, Position},
    clock::Clock,
    entropy::Entropy,
};

use super::lock;
use crate::mutants::bug::{PlantedBug, RedisAudit};

#[derive(Default)]
pub(in crate::mutants) struct IdentityInherited {
    stands: Mutex<BTreeSet<EventHash>>,
    given_up: Mutex<BTreeMap<AppendId, Position>>,
    inherited: Mutex<BTreeMap<AppendId, Position>>,
}

impl PlantedBug for IdentityInherited {
    async fn append<S: RedisAudit>(
        &self,
        next: &S,
        batch: &Batch<'_>,
    ) -> Result<Reply, AttemptError> {
        let reply = next.append(batch).await?;
        if matches!(
            reply,
            Reply::Committed | Reply::Conflict { applied: true, .. }
        ) {
            let hashes = batch
                .records
                .iter()
                .map(|record| record.position().event_hash);
            lock(&self.stands).extend(hashes);
        }
        Ok(reply)
    }

    fn append_id(&self, drawn: AppendId) -> AppendId {
        let stands = lock(&self.stands);
        let mut given_up = lock(&self.given_up);
        let found = given_up
            .iter()
            .find(|(_, position)| stands.contains(&position.event_hash));
        let Some((append_id, position)) = found.map(|(id, position)| (*id, *position)) else {
            return drawn;
        };
        given_up.remove(&append_id);
        lock(&self.inherited).insert(append_id, position);
        append_id
    }

    async fn record<C: Clock, E: Entropy>(
        &self,
        sink: &AuditSink<C, E>,
        append_id: AppendId,
        event: Event,
    ) -> Result<Appended, AppendError> {
        if let Some(position) = lock(&self.inherited).remove(&append_id) {
            return Ok(Appended {
                position,
                durability: DurabilityStatus::AsAsked,
                anchor: AnchorStatus::NotDue,
            });
        }
        let outcome = sink.record_as(append_id, event).await;
        if let Err(AppendError::Unknown { handle, .. }) = &outcome {
            let position = handle.position.map(|position| (append_id, position));
            lock(&self.given_up).extend(position);
        }
        outcome
    }
}
