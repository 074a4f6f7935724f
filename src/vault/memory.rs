//! A vault in memory with the semantics of the one in Redis: for tests, and as
//! the reference model.

use std::{collections::BTreeMap, time::SystemTime};

use super::{
    diff::Change,
    store::{
        Applied, Attempt, Due, Fate, Fence, Indexed, Load, Loaded, Moved, MutationId, Observed,
        Page, ReceiptSeq, VaultStore, Version,
    },
    token::{Stored, TokenId},
};
use crate::{
    error::AttemptError,
    sync::{Arc, Mutex, lock},
};

/// A vault in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryVault(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    tokens: BTreeMap<TokenId, Stored>,
    version: u64,
    receipts: BTreeMap<MutationId, Fate>,
}

impl State {
    fn receipt_seq(&self) -> ReceiptSeq {
        ReceiptSeq::new(self.receipts.len() as u64)
    }

    fn loaded<'a>(&self, tokens: impl Iterator<Item = &'a TokenId>) -> Loaded {
        Loaded {
            version: Version::new(self.version),
            receipt_seq: self.receipt_seq(),
            newest: None,
            tokens: tokens
                .map(|token| (token.clone(), self.tokens.get(token).cloned()))
                .collect(),
            unnameable: Vec::new(),
        }
    }
}

impl MemoryVault {
    /// An empty vault.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl VaultStore for MemoryVault {
    type Lease = ();

    fn tokens_key(&self) -> &'static str {
        "tokens"
    }

    async fn load(&self, what: Load<'_>, _: &Observed) -> Result<Loaded, AttemptError> {
        let state = lock(&self.0);
        Ok(match what {
            Load::Some(tokens) => state.loaded(tokens.iter()),
            Load::All { .. } => state.loaded(state.tokens.keys()),
        })
    }

    async fn apply(&self, attempt: &Attempt<'_>, _: &Observed) -> Result<Applied, AttemptError> {
        let mut state = lock(&self.0);
        if let Some(fate) = state.receipts.get(&attempt.mutation) {
            return Ok(Applied::Settled(*fate));
        }
        let moved = match attempt.fence {
            Fence::Snapshot(version) if version.get() != state.version => Some(Moved::Version),
            Fence::Values | Fence::Snapshot(_) => attempt
                .read
                .iter()
                .any(|(token, value)| state.tokens.get(token) != value.as_ref())
                .then_some(Moved::Value),
        };
        if let Some(moved) = moved {
            let now = state.loaded(attempt.read.keys());
            return Ok(Applied::Conflict { moved, now });
        }
        for (token, change) in attempt.diff {
            match change {
                Change::Set(value) => state.tokens.insert(token.clone(), value.clone()),
                Change::Delete => state.tokens.remove(token),
            };
        }
        state.version += 1;
        let (version, receipt_seq) = (Version::new(state.version), state.receipt_seq());
        let fate = Fate::Applied {
            version,
            number: attempt.number,
            receipt_seq,
        };
        state.receipts.insert(attempt.mutation, fate);
        Ok(Applied::Committed {
            version,
            receipt_seq,
        })
    }

    async fn settle(
        &self,
        mutation: MutationId,
        _: ReceiptSeq,
        _: &Observed,
    ) -> Result<Option<Fate>, AttemptError> {
        let mut state = lock(&self.0);
        Ok(Some(
            *state.receipts.entry(mutation).or_insert(Fate::Dropped),
        ))
    }

    async fn due(&self, now: SystemTime, limit: usize) -> Result<Due, AttemptError> {
        let state = lock(&self.0);
        let mut due: Vec<_> = state
            .tokens
            .iter()
            .filter_map(|(token, value)| {
                let expires = Change::Set(value.clone()).expires_at()?;
                (expires <= now).then(|| (expires, token.clone()))
            })
            .collect();
        due.sort();
        Ok(Due {
            tokens: due
                .into_iter()
                .take(limit)
                .map(|(_, token)| token)
                .collect(),
            is_whole: true,
            drift: 0,
        })
    }

    async fn index(&self, _: &[Indexed], _: Option<u64>) -> Result<(), AttemptError> {
        Ok(())
    }

    async fn scan(&self, cursor: u64, count: usize) -> Result<Page, AttemptError> {
        let state = lock(&self.0);
        let start = usize::try_from(cursor).unwrap_or(usize::MAX);
        let tokens: Vec<_> = state
            .tokens
            .iter()
            .skip(start)
            .take(count.max(1))
            .map(|(token, value)| (token.clone(), value.clone()))
            .collect();
        let next = start.saturating_add(tokens.len());
        Ok(Page {
            cursor: if next < state.tokens.len() {
                next as u64
            } else {
                0
            },
            tokens,
            unnameable: Vec::new(),
        })
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
