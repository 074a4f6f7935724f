//! A mutation whose reply was lost is given up without a receipt that stops
//! its late attempts.

use haechi_store_redis::{
    AttemptError,
    redis::script::{Script, VAULT_SETTLE},
    vault::store::{Applied, Attempt, Observed},
};
use redis::Value;

use crate::mutants::{
    bug::{PlantedBug, RedisVault},
    patch::{StalePatch, patched},
};

/// Holds a settle script that leaves nothing behind.
pub(in crate::mutants) struct NoTombstone(Script);

impl NoTombstone {
    pub(in crate::mutants) fn new() -> Result<Self, StalePatch> {
        let tombstone = "local mark, written = note(state, ARGV[4], 'dropped', {})";
        patched(VAULT_SETTLE, tombstone, "local mark, written = 0, ''").map(Self)
    }
}

impl PlantedBug for NoTombstone {
    /// Takes a mutation that was not applied so far for one that never will be.
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let cause = match next.apply(attempt, observed).await {
            Err(AttemptError::Ambiguous(cause)) => cause,
            answer => return answer,
        };
        let mut call = self.0.call(&next.keys().fenced());
        call.arg(observed.version.get()).arg(0).arg(0);
        call.arg(attempt.mutation.to_string())
            .arg(attempt.begun.get());
        match next.run(&self.0, &call).await {
            Ok(Value::Array(parts)) if is_dropped(&parts) => Err(AttemptError::Denied(cause)),
            _ => Err(AttemptError::Ambiguous(cause)),
        }
    }
}

fn is_dropped(parts: &[Value]) -> bool {
    matches!(parts.get(1), Some(Value::BulkString(receipt)) if receipt.starts_with(b"dropped"))
}
