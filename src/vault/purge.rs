//! Purges tokens: one by its id, or all that have expired. The audit chain says so
//! first.

use super::{
    audit_event::{Decision, Operation, Undone, audit_id},
    mutation::MutateError,
    record::TokenRecord,
    slice::{MAX_TOKENS, SliceSize},
    store::{Indexed, VaultStore},
    tasks::Task,
    token::{Stored, TokenId},
    token_vault::{PurgeError, TokenVault},
    view::View,
};
use crate::{
    clock::Clock, crypto::CryptoProvider, durability::DurabilityStatus, entropy::Entropy,
    error::AppendError,
};

/// The result of [`TokenVault::purge`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PurgedToken {
    /// Whether the token existed.
    pub existed: bool,
    /// Whether the deletion is as durable as asked: if not, a failover may bring the
    /// token back.
    pub durability: DurabilityStatus,
}

/// The result of [`TokenVault::purge_expired`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Purged {
    /// Expired tokens that were deleted.
    pub purged: u64,
    /// Tokens that are past their end by one clock only, and were kept: the clocks of
    /// Redis and of this process disagree.
    pub disputed: u64,
    /// Whether all deletions are as durable as asked.
    pub durability: DurabilityStatus,
}

/// The result of one slice of [`TokenVault::prune`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// Expired tokens that were deleted.
    pub purged: u64,
    /// Whether there may be more.
    pub more: bool,
    /// Whether all deletions are as durable as asked.
    pub durability: DurabilityStatus,
}

/// What a purge of one token met.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Met {
    Nothing,
    Expired,
    Live,
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
    /// Once begun, it is carried out and audited whether or not the future is
    /// dropped.
    ///
    /// # Errors
    ///
    /// [`PurgeError`].
    pub async fn purge(&self, token: &str) -> Result<PurgedToken, PurgeError> {
        let (vault, token) = (self.clone(), token.to_owned());
        let purge = async move { vault.purge_one(&token).await };
        self.tasks.run(Box::pin(purge)).await?
    }

    async fn purge_one(&self, token: &str) -> (Result<PurgedToken, PurgeError>, Option<Task>) {
        let mut intent = self.decision(Operation::Purge, "purge");
        intent.token = audit_id(&*self.crypto, token).await;
        if let Err(error) = self.record(&intent).await {
            let withdrawal = self.withdrawal(vec![intent], &error);
            return (Err(error.into()), withdrawal);
        }
        let met = match TokenId::new(token) {
            Ok(id) => self.delete(id).await,
            Err(_) => Ok((Met::Nothing, DurabilityStatus::AsAsked)),
        };
        let undone = match &met {
            Ok((Met::Nothing, _)) => Some(Undone::Absent),
            Ok((Met::Expired | Met::Live, _)) => None,
            Err(error) => Some(undone(error)),
        };
        let audited = match undone {
            Some(undone) => self.record_undone(&intent, undone, None).await,
            None => Ok(()),
        };
        let outcome = match (met, audited) {
            (Err(error), _) => Err(error.into()),
            (Ok(_), Err(cause)) => Err(PurgeError::OutcomeNotAudited { purged: 0, cause }),
            (Ok((met, durability)), Ok(())) => Ok(PurgedToken {
                existed: met == Met::Live,
                durability,
            }),
        };
        (outcome, None)
    }

    async fn delete(&self, token: TokenId) -> Result<(Met, DurabilityStatus), MutateError> {
        let delete = |view: &mut View| {
            let Some(stored) = view.get(&token) else {
                return Met::Nothing;
            };
            view.delete(&token);
            let clocks = self.tokens.clocks(view.server_time());
            match TokenRecord::parse(&stored) {
                Ok(record) if clocks.is_past(record.ends()) => Met::Expired,
                // A field that is not a token record existed too.
                _ => Met::Live,
            }
        };
        let done = self.tokens.transaction([token.clone()], delete).await?;
        Ok((done.output, done.durability))
    }

    /// Deletes every expired token, in short slices, each of which is audited before.
    /// Call it from time to time, outside of requests: an expired token is absent
    /// whether or not it has been deleted.
    ///
    /// Once begun, it is carried out whether or not the future is dropped.
    ///
    /// # Errors
    ///
    /// [`PurgeError`]; tokens purged before it stay purged, and are audited.
    pub async fn purge_expired(&self) -> Result<Purged, PurgeError> {
        let vault = self.clone();
        let purge = async move {
            let mut sweep = Sweep::new(&vault, SliceSize::default());
            let ended = sweep.all().await;
            let (purged, durability) = (sweep.purged, sweep.durability);
            let outcome = ended.map(|disputed| Purged {
                purged,
                disputed,
                durability,
            });
            (outcome, sweep.withdrawal)
        };
        self.tasks.run(Box::pin(purge)).await?
    }

    /// One slice of [`purge_expired`](Self::purge_expired), of at most `most`
    /// tokens, by the index: only `purge_expired` finds tokens of foreign
    /// replicas. Audited if it purges anything.
    ///
    /// # Errors
    ///
    /// As for `purge_expired`.
    pub async fn prune(&self, most: usize) -> Result<Pruned, PurgeError> {
        let vault = self.clone();
        let prune = async move {
            let mut sweep = Sweep::new(&vault, SliceSize::of(most));
            let ended = sweep.slice().await;
            let (purged, durability) = (sweep.purged, sweep.durability);
            let outcome = ended.map(|more| Pruned {
                purged,
                more,
                durability,
            });
            (outcome, sweep.withdrawal)
        };
        self.tasks.run(Box::pin(prune)).await?
    }
}

/// One purge of expired tokens.
struct Sweep<'a, S, P, C, E> {
    vault: &'a TokenVault<S, P, C, E>,
    size: SliceSize,
    purged: u64,
    /// Of all deletions so far.
    durability: DurabilityStatus,
    is_audited: bool,
    /// Records that something was not done of which the audit chain may say so.
    withdrawal: Option<Task>,
}

impl<'a, S, P, C, E> Sweep<'a, S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    fn new(vault: &'a TokenVault<S, P, C, E>, size: SliceSize) -> Self {
        Self {
            vault,
            size,
            purged: 0,
            durability: DurabilityStatus::AsAsked,
            is_audited: false,
            withdrawal: None,
        }
    }

    /// Purges all; returns how many tokens are past their end by one clock only.
    async fn all(&mut self) -> Result<u64, PurgeError> {
        while self.slice().await? {}
        let tokens = &self.vault.tokens;
        let mut due = tokens.due(1).await?;
        if !due.is_whole {
            self.rebuild_index(due.drift).await?;
            due = tokens.due(1).await?;
        }
        if !self.is_audited {
            // A purge of nothing is audited too.
            self.audit(Vec::new()).await?;
        }
        Ok(due.disputed)
    }

    /// Purges tokens that are expired by the index; returns whether there may
    /// be more.
    async fn slice(&mut self) -> Result<bool, PurgeError> {
        let asked = self.size.tokens();
        let due = self.vault.tokens.due(asked).await?;
        let more = due.tokens.len() == asked;
        let before = self.purged;
        let others = self.purge(due.tokens).await?;
        // The index had these wrong; uncorrected, they would be due again and
        // again. The index is advisory: if it cannot be corrected, the purge
        // stands, but ends here instead of repeating.
        let corrected = others.is_empty() || self.vault.tokens.index(&others, None).await.is_ok();
        Ok(more && (self.purged > before || corrected))
    }

    /// Deletes those of `tokens` that have expired; returns the others as they are
    /// now.
    async fn purge(&mut self, tokens: Vec<TokenId>) -> Result<Vec<Indexed>, PurgeError> {
        if tokens.is_empty() {
            return Ok(Vec::new());
        }
        let store = &self.vault.tokens;
        let loaded = store.read_tokens(&tokens).await?;
        let clocks = store.clocks(loaded.server_time);
        let stored = loaded.tokens.values().flatten();
        self.size
            .adapt(stored.map(|stored| stored.bytes().len()).sum());
        let (mut expired, mut others) = (Vec::new(), Vec::new());
        for (token, read) in loaded.tokens {
            match read.as_ref().and_then(|read| TokenRecord::parse(read).ok()) {
                Some(record) if clocks.is_past(record.ends()) => expired.push(token),
                _ => others.push(indexed(token, read)),
            }
        }
        if expired.is_empty() {
            return Ok(others);
        }
        let intent = self.audit(expired.clone()).await?;
        let named = expired.clone();
        let delete = move |view: &mut View| {
            let clocks = store.clocks(view.server_time());
            let mut kept = Vec::new();
            for token in &named {
                let read = view.get(token);
                match read.as_ref().and_then(|read| TokenRecord::parse(read).ok()) {
                    Some(record) if clocks.is_past(record.ends()) => {
                        view.delete(token);
                    }
                    _ => kept.push((token.clone(), read)),
                }
            }
            kept
        };
        let count = expired.len();
        let kept = match store.transaction(expired, delete).await {
            Ok(done) => {
                self.durability = self.durability.clone().and(done.durability);
                done.output
            }
            Err(error) => {
                // The mutation's error says more than that of the record.
                let _ = self
                    .vault
                    .record_undone(&intent, undone(&error), None)
                    .await;
                return Err(error.into());
            }
        };
        self.purged += (count - kept.len()) as u64;
        for undone in [Undone::Absent, Undone::NotApplied] {
            let is_absent = undone == Undone::Absent;
            let tokens = kept.iter().filter(|(_, read)| read.is_none() == is_absent);
            let tokens: Vec<TokenId> = tokens.map(|(token, _)| token.clone()).collect();
            if tokens.is_empty() {
                continue;
            }
            let names = self.vault.audit_ids(&tokens).await;
            let audited = self.vault.record_undone(&intent, undone, Some(names)).await;
            let purged = self.purged;
            audited.map_err(|cause| PurgeError::OutcomeNotAudited { purged, cause })?;
        }
        others.extend(kept.into_iter().map(|(token, read)| indexed(token, read)));
        Ok(others)
    }

    /// Records that these tokens are going to be purged.
    async fn audit(&mut self, tokens: Vec<TokenId>) -> Result<Decision, PurgeError> {
        let mut intent = self
            .vault
            .decision(Operation::PurgeExpired, "purge_expired");
        intent.count = Some(tokens.len() as u64);
        intent.tokens = Some(self.vault.audit_ids(&tokens).await);
        if let Err(error) = self.vault.record(&intent).await {
            self.withdrawal = self.vault.withdrawal(vec![intent], &error);
            return Err(error.into());
        }
        self.is_audited = true;
        Ok(intent)
    }

    /// Reads every token and rebuilds the index, which others have changed the vault
    /// without.
    async fn rebuild_index(&mut self, drift: u64) -> Result<(), PurgeError> {
        let tokens = &self.vault.tokens;
        let (mut cursor, mut is_whole) = (0, true);
        self.size = SliceSize::default();
        loop {
            let page = tokens.scan(cursor, self.size.tokens()).await?;
            let stored = page.tokens.iter().map(|(_, stored)| stored.bytes().len());
            self.size.adapt(stored.sum());
            let clocks = tokens.clocks(page.server_time);
            let (mut expired, mut others) = (Vec::new(), Vec::new());
            for (token, stored) in page.tokens {
                match TokenRecord::parse(&stored) {
                    Ok(record) if clocks.is_past(record.ends()) => expired.push(token),
                    _ => others.push(indexed(token, Some(stored))),
                }
            }
            for some in expired.chunks(self.size.tokens()) {
                others.extend(self.purge(some.to_vec()).await?);
            }
            for some in others.chunks(MAX_TOKENS) {
                is_whole &= tokens.index(some, None).await.is_ok();
            }
            cursor = page.cursor;
            if cursor == 0 {
                break;
            }
        }
        if is_whole {
            // If this fails, the next purge reads every token again.
            let _ = tokens.index(&[], Some(drift)).await;
        }
        Ok(())
    }
}

/// What is known of a purge that failed so.
fn undone(error: &MutateError) -> Undone {
    match error {
        MutateError::Unknown { .. } => Undone::OutcomeUnknown,
        MutateError::NotApplied(_) | MutateError::Corrupt(_) => Undone::NotApplied,
    }
}

impl<S, P, C, E> TokenVault<S, P, C, E>
where
    S: VaultStore,
    P: CryptoProvider,
    C: Clock,
    E: Entropy,
{
    /// Records what is known of a purge of which the audit chain says that it
    /// happened.
    async fn record_undone(
        &self,
        intent: &Decision,
        undone: Undone,
        tokens: Option<Vec<String>>,
    ) -> Result<(), AppendError> {
        let decision = intent.undone(undone, tokens, &self.entropy);
        self.record(&decision).await
    }
}

/// A token for the index. A value that is not a record never expires.
fn indexed(token: TokenId, read: Option<Stored>) -> Indexed {
    let record = read.as_ref().and_then(|read| TokenRecord::parse(read).ok());
    Indexed {
        token,
        read,
        expires: record.map(|record| record.ends().last),
    }
}
