//! Tokens that go: by name, or because their time is up.

use super::{
    audit_event::{Decision, Operation, audit_id},
    record::TokenRecord,
    store::{Indexed, VaultStore},
    token::TokenId,
    token_store::MutateError,
    token_vault::{PurgeError, TokenVault},
    view::View,
};
use crate::{clock::Clock, crypto::CryptoProvider, entropy::Entropy};

/// Tokens looked at in one request.
const SLICE: usize = 256;

/// What a slice of [`TokenVault::prune`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Expired tokens that are gone.
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
    /// Deletes `token` and tells whether it existed; an expired one counts as
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
                // A field that is no token record was there all the same.
                stored.is_some_and(|stored| {
                    TokenRecord::parse(&stored).map_or(true, |record| !record.is_expired(now))
                })
            };
            let done = self.tokens.transaction([id.clone()], delete).await;
            outcome = done.map(|done| done.output);
        }
        let reason = match &outcome {
            Ok(_) => None,
            // It may be gone: the chain has to say that somebody asked.
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

    /// Deletes every token that has expired and tells how many there were, in
    /// slices that each take a moment of Redis's time. Call it now and then,
    /// away from requests: an expired token is absent whether or not it has
    /// been deleted.
    ///
    /// # Errors
    ///
    /// [`PurgeError`]; what was purged until then stays so, and is audited.
    pub async fn purge_expired(&self) -> Result<u64, PurgeError> {
        let mut purged = 0;
        let ended = loop {
            match self.slice(SLICE).await {
                Ok(slice) => {
                    purged += slice.purged;
                    if !slice.more {
                        break Ok(());
                    }
                }
                Err(error) => break Err(error),
            }
        };
        let ended = match ended {
            Ok(()) => self.rebuild_index(&mut purged).await,
            Err(error) => Err(error),
        };
        self.audit_purged(purged, ended).await
    }

    /// One slice of [`purge_expired`](Self::purge_expired), of at most `most`
    /// tokens, by what the index knows: tokens of foreign replicas are found
    /// by `purge_expired` only. Audited if it purged anything.
    ///
    /// # Errors
    ///
    /// As for `purge_expired`.
    pub async fn prune(&self, most: usize) -> Result<Pruned, PurgeError> {
        let slice = self.slice(most.clamp(1, SLICE)).await?;
        if slice.purged > 0 {
            self.audit_purged(slice.purged, Ok(())).await?;
        }
        Ok(slice)
    }

    async fn audit_purged(
        &self,
        purged: u64,
        ended: Result<(), PurgeError>,
    ) -> Result<u64, PurgeError> {
        if purged == 0 && ended.is_err() {
            return ended.map(|()| 0);
        }
        let audited = self
            .record(Decision {
                operation: Operation::PurgeExpired,
                decision: "purge_expired",
                reason: None,
                token: None,
                token_type: None,
                count: Some(purged),
            })
            .await;
        ended?;
        match audited {
            Ok(()) => Ok(purged),
            Err(cause) => Err(PurgeError::NotAudited { purged, cause }),
        }
    }

    async fn slice(&self, most: usize) -> Result<Pruned, PurgeError> {
        let due = self.tokens.due(self.clock.wall(), most).await?;
        let more = due.tokens.len() == most;
        let (purged, others) = self.purge_if_expired(due.tokens).await?;
        // Those are what the index had wrong; left as they are, they would be
        // due again and again.
        if !others.is_empty() {
            self.tokens.index(&others, None).await?;
        }
        Ok(Pruned { purged, more })
    }

    /// Deletes those of `tokens` that have expired; gives their number and the
    /// others as they stand.
    async fn purge_if_expired(
        &self,
        tokens: Vec<TokenId>,
    ) -> Result<(u64, Vec<Indexed>), MutateError> {
        if tokens.is_empty() {
            return Ok((0, Vec::new()));
        }
        let now = self.clock.wall();
        let named = tokens.clone();
        let delete = move |view: &mut View| {
            let (mut purged, mut others) = (0, Vec::new());
            for token in &named {
                let read = view.get(token);
                let is_expired = read.as_ref().is_some_and(|stored| {
                    TokenRecord::parse(stored).is_ok_and(|record| record.is_expired(now))
                });
                if is_expired {
                    view.delete(token);
                    purged += 1;
                } else {
                    let token = token.clone();
                    others.push(Indexed { token, read });
                }
            }
            (purged, others)
        };
        Ok(self.tokens.transaction(tokens, delete).await?.output)
    }

    /// Looks at every token, if others have changed the vault since the index
    /// was built, and builds it anew.
    async fn rebuild_index(&self, purged: &mut u64) -> Result<(), PurgeError> {
        let due = self.tokens.due(self.clock.wall(), 1).await?;
        if due.is_whole {
            return Ok(());
        }
        let mut cursor = 0;
        loop {
            let page = self.tokens.scan(cursor, SLICE).await?;
            let now = self.clock.wall();
            let (mut expired, mut others) = (Vec::new(), Vec::new());
            for (token, stored) in page.tokens {
                if TokenRecord::parse(&stored).is_ok_and(|record| record.is_expired(now)) {
                    expired.push(token);
                } else {
                    others.push(Indexed {
                        token,
                        read: Some(stored),
                    });
                }
            }
            for some in others.chunks(SLICE) {
                self.tokens.index(some, None).await?;
            }
            for some in expired.chunks(SLICE) {
                let (gone, others) = self.purge_if_expired(some.to_vec()).await?;
                *purged += gone;
                self.tokens.index(&others, None).await?;
            }
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        Ok(self.tokens.index(&[], Some(due.drift)).await?)
    }
}
