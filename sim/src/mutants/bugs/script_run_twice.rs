//! A client that falls back to EVAL and then, not noticing that this has run
//! the script, to what it was about to do; without receipts.

use haechi_store_redis::{
    AttemptError,
    redis::script::{apply_call, apply_reply},
    vault::store::{Applied, Attempt, Observed},
};

use super::PatchedApply;
use crate::mutants::bug::{PlantedBug, RedisVault};

/// Holds the apply script without its look at the receipt.
pub(in crate::mutants) struct ScriptRunTwice(pub(in crate::mutants) PatchedApply);

impl PlantedBug for ScriptRunTwice {
    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let script = &self.0.0;
        let call = apply_call(script, next.keys(), next.deadline(), attempt, observed);
        let reply = match next.send(&call).await {
            Err(AttemptError::Refused(cause)) if cause.code() == Some("NOSCRIPT") => {
                // SCRIPT LOAD, and the call: EVAL by another name.
                next.run(script, &call).await?;
                next.send(&call).await?
            }
            reply => reply?,
        };
        apply_reply(reply, next.keys(), attempt, observed)
    }
}
