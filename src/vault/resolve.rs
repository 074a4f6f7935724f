//! What became of a mutation, found out from its [`ReceiptHandle`] by any process.

use std::time::Duration;

use super::{
    MutationId,
    context::FAILURE_WAIT,
    store::{Fate, Receipt, ReceiptHandle, VaultStore, Version},
};
use crate::{
    audit::{IfOpen, Resolution, ResolveError},
    clock::{Clock, within},
    durability::{Durability, DurabilityStatus},
    entropy::{Entropy, Jitter},
    error::{AttemptError, Cause, Corrupt},
};

/// Finds out what became of the mutation that `handle` names: it was applied, and made this
/// version; it was not, and its receipt says that it was dropped; or it has no receipt and
/// is open. O(1), on a primary.
///
/// With [`IfOpen::Settle`] an open mutation is dropped, by a receipt that stops every late
/// attempt. The answer is told once its receipt is as durable as the store asks.
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
    let mut last = ResolveError::Unavailable(Cause::new("no answer"));
    let resolved = async {
        let mut jitter = Jitter::new(FAILURE_WAIT.0, FAILURE_WAIT.1);
        loop {
            match attempt(store, handle, if_open).await {
                Ok(resolution) => return Ok(resolution),
                Err(Failed::Finally(error)) => return Err(error),
                Err(Failed::Temporarily(error)) => last = error,
            }
            clock.sleep(jitter.next(entropy)).await;
        }
    };
    let resolved = within(clock, deadline, resolved).await;
    resolved.unwrap_or(Err(last))
}

enum Failed {
    Temporarily(ResolveError),
    Finally(ResolveError),
}

async fn attempt(
    store: &impl VaultStore,
    handle: &ReceiptHandle,
    if_open: IfOpen,
) -> Result<Resolution<Version>, Failed> {
    let (mutation, begun, observed) = (handle.mutation, handle.begun, &handle.observed());
    let receipt = match if_open {
        IfOpen::Leave => store.receipt(mutation, begun, observed).await?,
        IfOpen::Settle => {
            let fate = store.settle(mutation, begun, observed).await?;
            fate.map_or(Receipt::Expired, Receipt::Ended)
        }
    };
    let fate = match receipt {
        Receipt::Ended(fate) => fate,
        Receipt::Open => return Ok(Resolution::Open),
        Receipt::Expired => return Err(Failed::Finally(ResolveError::ReceiptExpired)),
    };
    let resolution = match fate {
        Fate::Applied { version, .. } => Resolution::Applied(version),
        Fate::Dropped => Resolution::NotApplied,
    };
    if if_open == IfOpen::Settle
        && store.durability() != Durability::Memory
        // Boxed: it is rare, and larger than the rest.
        && let DurabilityStatus::NotYet(why) = Box::pin(confirm(store, mutation, fate)).await?
    {
        return Err(Failed::Temporarily(ResolveError::NotDurable {
            resolution: resolution.map(Version::get),
            why,
        }));
    }
    Ok(resolution)
}

/// Whether the receipt of a mutation that ended so is as durable as asked.
async fn confirm(
    store: &impl VaultStore,
    mutation: MutationId,
    fate: Fate,
) -> Result<DurabilityStatus, AttemptError> {
    match fate {
        Fate::Dropped => store.confirm_dropped(mutation).await,
        Fate::Applied { .. } => {
            let statuses = store.confirm(&[mutation]).await?;
            Ok(statuses
                .into_iter()
                .fold(DurabilityStatus::AsAsked, DurabilityStatus::and))
        }
    }
}

impl From<AttemptError> for Failed {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Corrupt(Corrupt::VaultRolledBack { seen, met, .. }) => {
                Self::Finally(ResolveError::VaultRolledBack { seen, met })
            }
            AttemptError::Corrupt(corrupt) => Self::Finally(ResolveError::Corrupt(corrupt)),
            AttemptError::Denied(cause) => Self::Finally(ResolveError::Unavailable(cause)),
            AttemptError::Refused(cause) | AttemptError::Ambiguous(cause) => {
                Self::Temporarily(ResolveError::Unavailable(cause))
            }
        }
    }
}
