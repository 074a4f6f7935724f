//! A mutation that is tried again applies the diff of its first run.

use std::{collections::BTreeMap, sync::Mutex};

use haechi_store_redis::{
    AttemptError,
    vault::{
        MutationId,
        store::{Applied, Attempt, Diff, Observed},
    },
};

use super::lock;
use crate::mutants::bug::{PlantedBug, RedisVault};

#[derive(Default)]
pub(in crate::mutants) struct FirstDiffKept(Mutex<BTreeMap<MutationId, Diff>>);

impl PlantedBug for FirstDiffKept {
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let first = lock(&self.0)
            .entry(attempt.mutation)
            .or_insert_with(|| attempt.diff.clone())
            .clone();
        let stale = Attempt {
            diff: &first,
            ..*attempt
        };
        next.apply(&stale, observed).await
    }
}
