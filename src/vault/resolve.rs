//! What became of a mutation, found out from its [`ReceiptHandle`] by any process.

use std::time::Duration;

use super::{
    context::FAILURE_WAIT,
    store::{Fate, Receipt, ReceiptHandle, VaultStore, Version},
};
use crate::{
    audit::{IfOpen, Resolution, ResolveError},
    clock::{Clock, within},
    entropy::{Entropy, Jitter},
    error::{AttemptError, Cause, Corrupt},
};

/// Finds out what became of the mutation that `handle` names: it was applied, and made this
/// version; it was not, and its receipt says that it was dropped; or it has no receipt and
/// is open. O(1), on a primary.
///
/// With [`IfOpen::Settle`] an open mutation is dropped, by a receipt that stops every late
/// attempt.
///
/// Takes at most `deadline`. Dropping the future leaves at most that receipt behind.
///
/// # Errors
///
/// [`ResolveError`]; asking again is always safe.
pub async fn resolve<S: VaultStore, C: Clock, E: Entropy>(
    store: &S,
    clock: &C,
    entropy: &E,
    deadline: Duration,
    handle: &ReceiptHandle,
    if_open: IfOpen,
) -> Result<Resolution<Version>, ResolveError> {
    let mut last = Cause::new("no answer");
    let resolved = async {
        let mut jitter = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        loop {
            let (begun, observed) = (handle.begun, &handle.observed);
            let receipt = match if_open {
                IfOpen::Leave => store.receipt(handle.mutation, begun, observed).await,
                IfOpen::Settle => store
                    .settle(handle.mutation, begun, observed)
                    .await
                    .map(|fate| fate.map_or(Receipt::Expired, Receipt::Ended)),
            };
            match receipt {
                Ok(Receipt::Ended(Fate::Applied { version, .. })) => {
                    return Ok(Resolution::Applied(version));
                }
                Ok(Receipt::Ended(Fate::Dropped)) => return Ok(Resolution::NotApplied),
                Ok(Receipt::Open) => return Ok(Resolution::Open),
                Ok(Receipt::Expired) => return Err(ResolveError::ReceiptExpired),
                Err(AttemptError::Corrupt(Corrupt::VaultRolledBack { seen, met, .. })) => {
                    return Err(ResolveError::VaultRolledBack { seen, met });
                }
                Err(AttemptError::Corrupt(corrupt)) => return Err(ResolveError::Corrupt(corrupt)),
                Err(AttemptError::Denied(cause)) => return Err(ResolveError::Unavailable(cause)),
                Err(AttemptError::Refused(cause) | AttemptError::Ambiguous(cause)) => last = cause,
            }
            clock.sleep(jitter.next(entropy)).await;
        }
    };
    let resolved = within(clock, deadline, resolved).await;
    resolved.unwrap_or(Err(ResolveError::Unavailable(last)))
}
