//! Deletes are not fenced: what was just refreshed is pruned.

use std::collections::BTreeMap;

use haechi_store_redis::{
    AttemptError,
    vault::store::{Applied, Attempt, Change, Fence, Observed},
};

use crate::mutants::bug::{PlantedBug, RedisVault};

pub(in crate::mutants) struct UnfencedDeletes;

impl PlantedBug for UnfencedDeletes {
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        if deletes_only(attempt) {
            apply_unfenced(next, attempt, observed).await
        } else {
            next.apply(attempt, observed).await
        }
    }
}

pub(super) fn deletes_only(attempt: &Attempt<'_>) -> bool {
    attempt
        .diff
        .iter()
        .all(|(_, change)| *change == Change::Delete)
}

/// Applies without the fence, on whatever stands.
pub(super) async fn apply_unfenced<S: RedisVault>(
    next: &S,
    attempt: &Attempt<'_>,
    observed: &Observed,
) -> Result<Applied, AttemptError> {
    let unread = BTreeMap::new();
    let unfenced = Attempt {
        fence: Fence::Values,
        read: &unread,
        ..*attempt
    };
    next.apply(&unfenced, observed).await
}
