//! The trace of one call into the vault: the attempts it made, and which of
//! them was applied.

use std::{collections::BTreeMap, time::Duration};

use haechi_store_redis::vault::{
    MutationId, Stored, TokenId,
    store::{Applied, Attempt, Change, Fate, Loaded},
};

use haechi_history::{Mutation, OpId, Text};

use super::{
    accesses::Purge,
    loaded::{is_unused, listed},
};

/// Tokens and values as a history has them; `None`: absent, or deleted.
pub(crate) type Values = Vec<(String, Option<String>)>;

/// One call of one process, and the operation of the history that it is in:
/// a call that applies several mutations is several operations, one after the
/// other.
#[derive(Debug)]
pub(crate) struct CallTrace {
    pub(crate) replica: usize,
    pub(crate) process: String,
    pub(crate) op: OpId,
    /// What its deletes are of, if it is a purge.
    pub(super) purge: Option<Purge>,
    pub(super) began: Duration,
    /// The tokens that it has read, as they were last.
    pub(super) loaded: BTreeMap<String, String>,
    attempts: Vec<RecordedAttempt>,
    /// The whole vault, as the mutation that fences on it has read it.
    snapshot: Values,
    applied: Option<AppliedAttempt>,
}

/// The name of an attempt in its receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AttemptName {
    pub(super) mutation: MutationId,
    pub(super) number: u32,
}

#[derive(Debug)]
struct RecordedAttempt {
    mutation: MutationId,
    number: u32,
    reads: Values,
    writes: Values,
    /// Whether it may have been applied, or may still be.
    maybe_applied: bool,
    /// Whether a copy of it was sent whose reply never came.
    reply_lost: bool,
}

#[derive(Clone, Copy, Debug)]
struct AppliedAttempt {
    mutation: MutationId,
    number: u32,
    version: u64,
}

impl CallTrace {
    pub(crate) fn new(replica: usize, process: &str, op: OpId, began: Duration) -> Self {
        Self {
            replica,
            process: process.to_owned(),
            op,
            purge: None,
            began,
            loaded: BTreeMap::new(),
            attempts: Vec::new(),
            snapshot: Vec::new(),
            applied: None,
        }
    }

    /// Tokens were read.
    pub(super) fn loaded(&mut self, loaded: &Loaded) {
        let tokens = loaded.tokens.iter();
        let found = tokens
            .filter(|(token, _)| !is_unused(token.as_str()))
            .filter_map(|(t, value)| Some((t.as_str().to_owned(), text(value.as_ref()?))));
        self.loaded.extend(found);
    }

    /// The whole vault was read.
    pub(crate) fn read_snapshot(&mut self, loaded: &Loaded) {
        self.snapshot = read(&loaded.tokens);
    }

    /// Whether this attempt is of another mutation than the one that was
    /// applied: the call's next operation begins.
    pub(crate) fn is_next(&self, mutation: MutationId) -> bool {
        self.applied
            .is_some_and(|applied| applied.mutation != mutation)
    }

    /// The next operation of the call.
    pub(crate) fn go_on(&mut self, op: OpId) {
        self.op = op;
        self.attempts.clear();
        self.applied = None;
    }

    /// An attempt is sent.
    pub(crate) fn sent(&mut self, attempt: &Attempt<'_>) {
        // Another copy of the same attempt.
        if let Some(attempted) = self.attempt(attempt.mutation, attempt.number) {
            attempted.maybe_applied = true;
            return;
        }
        let reads = if attempt.read.is_empty() {
            self.snapshot.clone()
        } else {
            read(attempt.read)
        };
        let writes = attempt
            .diff
            .iter()
            .map(|(token, change)| {
                let value = match change {
                    Change::Set(value) => Some(text(value)),
                    Change::Delete => None,
                };
                (token.as_str().to_owned(), value)
            })
            .collect();
        self.attempts.push(RecordedAttempt {
            mutation: attempt.mutation,
            number: attempt.number,
            reads,
            writes,
            maybe_applied: true,
            reply_lost: false,
        });
    }

    /// An attempt was answered; `None`: its reply was lost.
    pub(crate) fn answered(&mut self, attempt: &Attempt<'_>, answer: Option<&Applied>) {
        match answer {
            Some(Applied::Committed { version, .. }) => {
                self.applied_at(attempt.mutation, attempt.number, version.get());
            }
            Some(Applied::Settled(fate)) => self.settled(attempt.mutation, *fate),
            Some(
                Applied::Conflict { .. } | Applied::ForeignLocked { .. } | Applied::ReceiptExpired,
            ) => {
                self.refused(attempt);
            }
            None => {
                if let Some(attempted) = self.attempt(attempt.mutation, attempt.number) {
                    attempted.reply_lost = true;
                }
            }
        }
    }

    /// An attempt was not applied; earlier copies of it may have been.
    pub(crate) fn refused(&mut self, attempt: &Attempt<'_>) {
        if let Some(attempted) = self.attempt(attempt.mutation, attempt.number) {
            attempted.maybe_applied = attempted.reply_lost;
        }
    }

    /// The outcome of a mutation is known.
    pub(crate) fn settled(&mut self, mutation: MutationId, fate: Fate) {
        match fate {
            Fate::Applied {
                version, number, ..
            } => self.applied_at(mutation, number, version.get()),
            Fate::Dropped => {
                for attempted in &mut self.attempts {
                    attempted.maybe_applied &= attempted.mutation != mutation;
                }
            }
        }
    }

    fn applied_at(&mut self, mutation: MutationId, number: u32, version: u64) {
        self.applied = Some(AppliedAttempt {
            mutation,
            number,
            version,
        });
    }

    fn attempt(&mut self, mutation: MutationId, number: u32) -> Option<&mut RecordedAttempt> {
        self.attempts
            .iter_mut()
            .find(|attempted| attempted.mutation == mutation && attempted.number == number)
    }

    /// What was applied, and at which version.
    pub(crate) fn applied(&self) -> Option<Mutation<Text<'static>>> {
        let applied = self.applied?;
        let attempted = self.attempts.iter().find(|attempted| {
            attempted.mutation == applied.mutation && attempted.number == applied.number
        })?;
        Some(attempted.mutation(Some(applied.version)))
    }

    /// What may have been applied, if that is a single attempt.
    pub(crate) fn maybe_applied(&self) -> Option<Mutation<Text<'static>>> {
        let mut maybe_applied = self
            .attempts
            .iter()
            .filter(|attempted| attempted.maybe_applied);
        match (maybe_applied.next(), maybe_applied.next()) {
            (Some(attempted), None) => Some(attempted.mutation(None)),
            _ => None,
        }
    }

    /// Every attempt that may have been applied, if none is known to be.
    pub(super) fn unsettled(&self) -> impl Iterator<Item = (AttemptName, Mutation<Text<'static>>)> {
        let is_open = self.applied.is_none();
        let attempts = self.attempts.iter();
        attempts
            .filter(move |attempted| is_open && attempted.maybe_applied)
            .map(|attempted| {
                let (mutation, number) = (attempted.mutation, attempted.number);
                (AttemptName { mutation, number }, attempted.mutation(None))
            })
    }

    /// Whether an attempt's reply was lost.
    pub(super) fn has_lost_reply(&self) -> bool {
        let mut attempts = self.attempts.iter();
        attempts.any(|attempted| attempted.reply_lost)
    }

    /// The version of an attempt of it among these mutations.
    pub(super) fn version_in(&self, mutations: &BTreeMap<String, u64>) -> Option<u64> {
        let mut attempts = self.attempts.iter();
        attempts.find_map(|attempted| mutations.get(&attempted.mutation.to_string()).copied())
    }

    /// What was attempted last.
    pub(crate) fn last(&self) -> Option<Mutation<Text<'static>>> {
        Some(self.attempts.last()?.mutation(None))
    }
}

impl RecordedAttempt {
    fn mutation(&self, version: Option<u64>) -> Mutation<Text<'static>> {
        let values = |values: &Values| {
            values
                .iter()
                .map(|(token, value)| (token.clone().into(), value.clone().map(Into::into)))
                .collect()
        };
        Mutation {
            reads: values(&self.reads),
            writes: values(&self.writes),
            version,
            durability: None,
        }
    }
}

/// Tokens that were read, as a history has them.
fn read(tokens: &BTreeMap<TokenId, Option<Stored>>) -> Values {
    let tokens = tokens.iter();
    listed(tokens.map(|(token, value)| (token.as_str(), value.as_ref().map(Stored::bytes))))
}

/// A stored value as a history has it.
pub(crate) fn text(value: &Stored) -> String {
    String::from_utf8_lossy(value.bytes()).into_owned()
}
