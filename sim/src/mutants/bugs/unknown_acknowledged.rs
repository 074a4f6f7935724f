//! An append whose outcome is unknown is acknowledged at the one position that
//! it can have.

use haechi_store_redis::{
    AppendError, DurabilityStatus,
    audit::{AnchorStatus, Appended, AuditSink},
    chain::{AppendId, Event},
    clock::Clock,
    entropy::Entropy,
};

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct UnknownAcknowledged;

impl PlantedBug for UnknownAcknowledged {
    async fn record<C: Clock, E: Entropy>(
        &self,
        sink: &AuditSink<C, E>,
        append_id: AppendId,
        event: Event,
    ) -> Result<Appended, AppendError> {
        match sink.record_as(append_id, event).await {
            Err(AppendError::Unknown { handle, cause }) => match handle.position {
                Some(position) => Ok(Appended {
                    position,
                    durability: DurabilityStatus::AsAsked,
                    anchor: AnchorStatus::NotDue,
                }),
                None => Err(AppendError::Unknown { handle, cause }),
            },
            outcome => outcome,
        }
    }
}
