//! An attempt whose reply was lost is sent again as another mutation's, so
//! that no receipt stops it.

use std::{collections::BTreeMap, sync::Mutex};

use haechi_store_redis::{
    AttemptError,
    vault::{
        MutationId,
        store::{Applied, Attempt, Fate, Load, Loaded, Observed, ReceiptSeq},
    },
};

use super::{
    lock,
    unfenced_deletes::{apply_unfenced, deletes_only},
};
use crate::mutants::bug::{PlantedBug, RedisVault};

/// How often each mutation was sent under another identity.
pub(in crate::mutants) struct ResentAsAnother {
    renamed: Mutex<BTreeMap<MutationId, u8>>,
    only_purges: bool,
}

impl ResentAsAnother {
    /// Every mutation, and its fence stays.
    pub(in crate::mutants) fn any() -> Self {
        Self {
            renamed: Mutex::default(),
            only_purges: false,
        }
    }

    /// Only deletes, and without their fence.
    pub(in crate::mutants) fn purges() -> Self {
        Self {
            renamed: Mutex::default(),
            only_purges: true,
        }
    }
}

/// Nobody would find a receipt under the name that it is believed to have.
fn without_receipt(observed: &Observed) -> Observed {
    Observed {
        receipts: Observed::default().receipts,
        ..*observed
    }
}

/// Another identity for the same mutation.
fn renamed(mutation: MutationId, times: u8) -> MutationId {
    if times == 0 {
        return mutation;
    }
    let mut bytes = [times; 16];
    for (byte, of) in bytes.iter_mut().zip(mutation.to_string().bytes()) {
        *byte ^= of;
    }
    MutationId::from_bytes(bytes)
}

impl PlantedBug for ResentAsAnother {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        next.load(what, &without_receipt(observed)).await
    }

    async fn apply<S: RedisVault>(
        &self,
        next: &S,
        attempt: &Attempt<'_>,
        observed: &Observed,
    ) -> Result<Applied, AttemptError> {
        let observed = without_receipt(observed);
        if self.only_purges && !deletes_only(attempt) {
            return next.apply(attempt, &observed).await;
        }
        let times = *lock(&self.renamed).entry(attempt.mutation).or_default();
        let other = Attempt {
            mutation: renamed(attempt.mutation, times),
            ..*attempt
        };
        let applied = if self.only_purges && times > 0 {
            apply_unfenced(next, &other, &observed).await
        } else {
            next.apply(&other, &observed).await
        };
        match applied {
            Err(AttemptError::Ambiguous(cause)) => {
                *lock(&self.renamed).entry(attempt.mutation).or_default() += 1;
                Err(if self.only_purges {
                    AttemptError::Ambiguous(cause)
                } else {
                    AttemptError::Refused(cause)
                })
            }
            other => other,
        }
    }

    async fn settle<S: RedisVault>(
        &self,
        next: &S,
        mutation: MutationId,
        begun: ReceiptSeq,
        observed: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let times = lock(&self.renamed).get(&mutation).copied().unwrap_or(0);
        next.settle(renamed(mutation, times), begun, &without_receipt(observed))
            .await
    }
}
