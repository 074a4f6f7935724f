//! Purges tokens: one by its id, or all that have expired.

use super::{
    audit_event::{Decision, Operation, audit_id},
    mutation::MutateError,
    record::TokenRecord,
    slice::{MAX_TOKENS, SliceSize},
    store::{Indexed, VaultStore},
    token::{Stored, TokenId},
    token_vault::{PurgeError, TokenVault},
    view::View,
};
use crate::{clock::Clock, crypto::CryptoProvider, entropy::Entropy};

/// The result of one slice of [`TokenVault::prune`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Expired tokens that were deleted.
    pub purged: u64,
    /// Whether there may be more.
    pub more: bool,
}

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// Deletes `token` and returns whether it existed; an expired one counts as
    /// absent, but is deleted too.
    ///
    /// # Errors
    ///
    /// [`PurgeError`].
    pub async fn purge(&self, token: &str) -> Result<bool, PurgeError> {
        let mut outcome = Ok(false);
        if let Ok(id) = TokenId::new(token) {
            let now = self.clock.wall();
            let delete = |view: &mut View| {
                let stored = view.get(&id);
                view.delete(&id);
                // A field that is not a token record existed too.
                stored.is_some_and(|stored| {
                    TokenRecord::parse(&stored).map_or(true, |record| !record.is_expired(now))
                })
            };
            let done = self.tokens.transaction([id.clone()], delete).await;
            outcome = done.map(|done| done.output);
        }
        let reason = match &outcome {
            Ok(_) => None,
            // It may be deleted: the chain has to contain the request.
            Err(MutateError::Unknown { .. }) => Some("outcome_unknown".to_owned()),
            Err(_) => return outcome.map_err(PurgeError::from),
        };
        let audited = self
            .record(Decision {
                operation: Operation::Purge,
                decision: "purge",
                reason,
                token: audit_id(&*self.crypto, token).await,
                token_type: None,
                count: None,
            })
            .await;
        let existed = outcome?;
        match audited {
            Ok(()) => Ok(existed),
            Err(cause) => Err(PurgeError::NotAudited {
                purged: u64::from(existed),
                cause,
            }),
        }
    }

    /// Deletes every expired token and returns their number, in short slices.
    /// Call it from time to time, outside of requests: an expired token is
    /// absent whether or not it has been deleted.
    ///
    /// # Errors
    ///
    /// [`PurgeError`]; tokens purged before it stay purged, and are audited.
    pub async fn purge_expired(&self) -> Result<u64, PurgeError> {
        let mut purged = 0;
        let ended = self.purge_all(&mut purged).await;
        // A purge of nothing is audited too.
        self.audit_purged(purged, ended.map(|()| true)).await?;
        Ok(purged)
    }

    async fn purge_all(&self, purged: &mut u64) -> Result<(), PurgeError> {
        let mut size = SliceSize::default();
        while self.slice(&mut size, purged).await? {}
        self.rebuild_index(purged).await
    }

    /// One slice of [`purge_expired`](Self::purge_expired), of at most `most`
    /// tokens, by the index: only `purge_expired` finds tokens of foreign
    /// replicas. Audited if it purged anything.
    ///
    /// # Errors
    ///
    /// As for `purge_expired`.
    pub async fn prune(&self, most: usize) -> Result<Pruned, PurgeError> {
        let (mut size, mut purged) = (SliceSize::of(most), 0);
        let ended = self.slice(&mut size, &mut purged).await;
        let more = *ended.as_ref().unwrap_or(&false);
        let is_told = purged > 0;
        self.audit_purged(purged, ended.map(|_| is_told)).await?;
        Ok(Pruned { purged, more })
    }

    /// Records in the audit chain how many were deleted, if any.
    async fn audit_purged(
        &self,
        purged: u64,
        ended: Result<bool, PurgeError>,
    ) -> Result<(), PurgeError> {
        let is_unknown = matches!(ended, Err(PurgeError::Mutate(MutateError::Unknown { .. })));
        if matches!(ended, Ok(true)) || purged > 0 || is_unknown {
            let audited = self
                .record(Decision {
                    operation: Operation::PurgeExpired,
                    decision: "purge_expired",
                    // More may have been deleted than were counted.
                    reason: is_unknown.then(|| "outcome_unknown".to_owned()),
                    token: None,
                    token_type: None,
                    count: Some(purged),
                })
                .await;
            ended?;
            return audited.map_err(|cause| PurgeError::NotAudited { purged, cause });
        }
        ended.map(drop)
    }

    /// Purges tokens that are expired by the index; returns whether there may
    /// be more.
    async fn slice(&self, size: &mut SliceSize, purged: &mut u64) -> Result<bool, PurgeError> {
        let asked = size.tokens();
        let due = self.tokens.due(self.clock.wall(), asked).await?;
        let more = due.tokens.len() == asked;
        let (gone, others) = self.purge_if_expired(due.tokens, size).await?;
        *purged += gone;
        // The index had these wrong; uncorrected, they would be due again and
        // again. The index is advisory: if it cannot be corrected, the purge
        // stands, but ends here instead of repeating.
        let corrected = others.is_empty() || self.tokens.index(&others, None).await.is_ok();
        Ok(more && (gone > 0 || corrected))
    }

    /// Deletes those of `tokens` that have expired; returns their number and
    /// the others as they are now.
    async fn purge_if_expired(
        &self,
        tokens: Vec<TokenId>,
        size: &mut SliceSize,
    ) -> Result<(u64, Vec<Indexed>), MutateError> {
        if tokens.is_empty() {
            return Ok((0, Vec::new()));
        }
        let now = self.clock.wall();
        let named = tokens.clone();
        let delete = move |view: &mut View| {
            let (mut purged, mut bytes, mut others) = (0, 0, Vec::new());
            for token in &named {
                let read = view.get(token);
                bytes += read.as_ref().map_or(0, |stored| stored.bytes().len());
                let record = read.as_ref().and_then(|read| TokenRecord::parse(read).ok());
                if record.as_ref().is_some_and(|record| record.is_expired(now)) {
                    view.delete(token);
                    purged += 1;
                } else {
                    others.push(indexed(token.clone(), read));
                }
            }
            (purged, bytes, others)
        };
        let done = self.tokens.transaction(tokens, delete).await?;
        let (purged, bytes, others) = done.output;
        size.adapt(bytes);
        Ok((purged, others))
    }

    /// Reads every token and rebuilds the index, if others have changed the
    /// vault since it was built.
    async fn rebuild_index(&self, purged: &mut u64) -> Result<(), PurgeError> {
        let due = self.tokens.due(self.clock.wall(), 1).await?;
        if due.is_whole {
            return Ok(());
        }
        let (mut cursor, mut size, mut is_whole) = (0, SliceSize::default(), true);
        loop {
            let page = self.tokens.scan(cursor, size.tokens()).await?;
            size.adapt(
                page.tokens
                    .iter()
                    .map(|(_, stored)| stored.bytes().len())
                    .sum(),
            );
            let now = self.clock.wall();
            let (mut expired, mut others) = (Vec::new(), Vec::new());
            for (token, stored) in page.tokens {
                if TokenRecord::parse(&stored).is_ok_and(|record| record.is_expired(now)) {
                    expired.push(token);
                } else {
                    others.push(indexed(token, Some(stored)));
                }
            }
            for some in expired.chunks(size.tokens()) {
                let (gone, left) = self.purge_if_expired(some.to_vec(), &mut size).await?;
                *purged += gone;
                others.extend(left);
            }
            for some in others.chunks(MAX_TOKENS) {
                is_whole &= self.tokens.index(some, None).await.is_ok();
            }
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        if is_whole {
            // If this fails, the next purge reads every token again.
            let _ = self.tokens.index(&[], Some(due.drift)).await;
        }
        Ok(())
    }
}

/// A token for the index. A value that is not a record never expires.
fn indexed(token: TokenId, read: Option<Stored>) -> Indexed {
    let record = read.as_ref().and_then(|read| TokenRecord::parse(read).ok());
    Indexed {
        token,
        read,
        expires: record.map(|record| record.expires()),
    }
}
