//! What a mutation of the vault is, to its callers: a trait, and how one ends. It knows
//! nothing of attempts: the driver makes them.

use std::future::{Future, ready};

use super::{
    store::{MutationId, ReceiptHandle, Version},
    view::View,
};
use crate::{
    durability::DurabilityStatus,
    error::{Cause, Corrupt, NotApplied, from_cause},
};

/// How a mutation failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum MutateError {
    /// Nothing was applied and nothing will be: try again when the cause is
    /// gone.
    #[error("not applied: {0}")]
    NotApplied(NotApplied),

    /// It may have been applied, as a whole, or may still be.
    #[error(
        "outcome unknown: the mutation may or may not have been applied, whole ({cause}); \
         before repeating it, find out with `haechi-store vault resolve {handle}`"
    )]
    Unknown {
        /// Identifies the mutation, to [`resolve`](super::resolve) it.
        handle: Box<ReceiptHandle>,
        /// The last failure.
        cause: Cause,
    },

    /// The state in Redis is not a vault that can be changed. Nothing was.
    #[error("corrupt state, nothing was applied: {0}")]
    Corrupt(Corrupt),
}

from_cause! { MutateError: NotApplied(NotApplied), Corrupt(Corrupt) }

impl MutateError {
    /// Whether the mutation may be retried and cannot be applied twice: it was
    /// not applied, for a reason that can pass.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotApplied(why) => why.is_retryable(),
            Self::Unknown { .. } | Self::Corrupt(_) => false,
        }
    }
}

/// The result of a mutation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Done<T> {
    /// The output of the run that was applied.
    pub output: T,
    /// The new version; `None` if it changed nothing.
    pub version: Option<Version>,
    /// Whether the changes are as durable as asked.
    pub durability: DurabilityStatus,
    /// Names the receipt of the changes.
    pub(super) mutation: Option<MutationId>,
}

impl<T> Done<T> {
    pub(super) fn unchanged(output: T) -> Self {
        Self {
            output,
            version: None,
            durability: DurabilityStatus::AsAsked,
            mutation: None,
        }
    }
}

/// Reads tokens and decides on their changes; a closure over a [`View`] is one.
///
/// It may run several times, each time over a new view, until the changes of
/// one run have been applied; only that run's output is returned.
pub trait Mutation: Send {
    /// The output of a run.
    type Output: Send;

    /// Reads and changes `view`.
    fn run(&mut self, view: &mut View) -> impl Future<Output = Self::Output> + Send;

    /// How many bytes it brings; see
    /// [`VaultConfig::queue_bytes`](super::VaultConfig::queue_bytes).
    fn bytes(&self) -> usize {
        0
    }
}

impl<F, T> Mutation for F
where
    F: FnMut(&mut View) -> T + Send,
    T: Send,
{
    type Output = T;

    fn run(&mut self, view: &mut View) -> impl Future<Output = T> + Send {
        ready(self(view))
    }
}
