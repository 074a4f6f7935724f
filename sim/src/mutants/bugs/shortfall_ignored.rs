use haechi_store_redis::{AttemptError, DurabilityStatus, chain::Position, vault::MutationId};

use crate::mutants::bug::{PlantedBug, RedisAudit, RedisVault};

/// Takes every answer to a wait for a confirmation.
pub(in crate::mutants) struct ShortfallIgnored;

impl PlantedBug for ShortfallIgnored {
    async fn confirm<S: RedisAudit>(
        &self,
        next: &S,
        position: Position,
    ) -> Result<DurabilityStatus, AttemptError> {
        next.confirm(position).await?;
        Ok(DurabilityStatus::AsAsked)
    }

    async fn confirm_mutations<S: RedisVault>(
        &self,
        next: &S,
        mutations: &[MutationId],
    ) -> Result<Vec<DurabilityStatus>, AttemptError> {
        next.confirm(mutations).await?;
        Ok(vec![DurabilityStatus::AsAsked; mutations.len()])
    }
}
