//! `TokenVault`, the interface for callers: from plaintext to token and back.

use std::time::Duration;

use super::{
    identity::Identity,
    mutation::MutateError,
    object::{InvalidObject, JsonObject},
    plaintext::Plaintext,
    policy::VaultPolicy,
    store::{ReceiptHandle, VaultStore},
    tasks::{NoResult, Spawn, Tasks},
    token::{InvalidTokenType, TokenId},
    token_store::TokenStore,
};
use crate::error::from_cause;
use crate::{
    audit::AuditSink,
    clock::{Clock, SystemClock},
    crypto::{DecryptError, EncryptError, InvalidAad, MacError},
    durability::DurabilityStatus,
    entropy::{Entropy, SystemEntropy},
    error::{AppendError, Corrupt, NotApplied, ReadError},
    sync::{Arc, lock},
};

/// Turns plaintexts into tokens and back, over a vault that other processes use
/// too. Cheap to clone.
///
/// Nothing is revealed, restored or destroyed before the audit chain says so. If a
/// purge or restore then does not happen, or its outcome is unknown, a second record
/// says that.
///
/// Whether a token is past its end is decided by two clocks, Redis's and this
/// process's: it is revealed only while both are before it, and destroyed only when
/// both are past it.
pub struct TokenVault<S, P, C = SystemClock, E = SystemEntropy> {
    pub(super) tokens: TokenStore<S, C, E>,
    pub(super) crypto: Arc<P>,
    pub(super) audit: AuditSink<C, E>,
    pub(super) clock: C,
    pub(super) entropy: E,
    pub(super) policy: VaultPolicy,
    pub(super) identity: Option<Identity>,
    pub(super) tasks: Tasks,
}

impl<S, P, C: Clone, E: Clone> Clone for TokenVault<S, P, C, E> {
    fn clone(&self) -> Self {
        Self {
            tokens: self.tokens.clone(),
            crypto: self.crypto.clone(),
            audit: self.audit.clone(),
            clock: self.clock.clone(),
            entropy: self.entropy.clone(),
            policy: self.policy.clone(),
            identity: self.identity.clone(),
            tasks: self.tasks.clone(),
        }
    }
}

impl<S, P, C, E> std::fmt::Debug for TokenVault<S, P, C, E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TokenVault")
            .field("policy", &self.policy)
            .finish_non_exhaustive()
    }
}

impl<S: VaultStore, P, C: Clock, E: Entropy> TokenVault<S, P, C, E> {
    /// A vault over `tokens`, with envelopes made and opened by `crypto`. `spawn`
    /// runs what goes on when its caller has left.
    ///
    /// Programs use [`Builder::token_vault`](crate::Builder::token_vault).
    pub fn new(
        tokens: TokenStore<S, C, E>,
        crypto: Arc<P>,
        audit: AuditSink<C, E>,
        clock: C,
        entropy: E,
        policy: VaultPolicy,
        spawn: Spawn,
    ) -> Self {
        Self {
            tokens,
            crypto,
            audit,
            clock,
            entropy,
            policy,
            identity: None,
            tasks: Tasks::new(spawn),
        }
    }

    /// The same vault, whose audit events name who a reveal, a restore or a purge is for. Without it
    /// their `identity` is null, as in the npm package.
    #[must_use]
    pub fn on_behalf_of(&self, identity: Identity) -> Self
    where
        Self: Clone,
    {
        Self {
            identity: Some(identity),
            ..self.clone()
        }
    }

    /// Refuses new purges and restores, and waits at most `deadline` for those that
    /// run; returns whether all have ended. Call it before
    /// [`AuditSink::close`], which refuses their records. Its
    /// [health](TokenStore::health) is [`Closed`](crate::Health::Closed) from then on.
    pub async fn close(&self, deadline: Duration) -> bool {
        lock(self.tokens.memory()).closing = true;
        self.tasks.close(&self.clock, deadline).await
    }

    /// The token store beneath it.
    pub fn tokens(&self) -> &TokenStore<S, C, E> {
        &self.tokens
    }

    pub(super) fn corrupt_token(&self, token: &TokenId, detail: String) -> Corrupt {
        Corrupt::Token {
            key: self.tokens.store().tokens_key().to_owned(),
            token: token.to_string(),
            detail,
        }
    }
}

/// Additional data of a plaintext.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Details {
    /// Bound to the envelope: it opens only under the same context, unless
    /// [`reveal`](TokenVault::reveal) is given another.
    pub context: JsonObject,
    /// Stored in plain text beside the envelope, without its members `value`,
    /// `plaintext` and `payload`.
    pub metadata: JsonObject,
    /// Names the mutation, by a [`ticket`](super::TokenStore::ticket) that is used only here.
    pub ticket: Option<ReceiptHandle>,
}

/// A token, and whether it is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// The token.
    pub token: TokenId,
    /// Whether it existed already, and was refreshed.
    pub reused: bool,
    /// Whether it is as durable as asked.
    pub durability: DurabilityStatus,
}

/// An input that cannot be tokenized; nothing was applied.
#[derive(Clone, Debug, thiserror::Error)]
pub enum InvalidInput {
    /// The type's name.
    #[error(transparent)]
    Type(#[from] InvalidTokenType),
    /// Metadata or context.
    #[error("metadata or context: {0}")]
    Object(InvalidObject),
    /// The plaintext is longer than [`MAX_PLAINTEXT`](super::MAX_PLAINTEXT).
    #[error("the plaintext is {bytes} bytes long; at most 1048576 are allowed")]
    TooLong {
        /// Its length.
        bytes: usize,
    },
    /// The context cannot be bound to an envelope.
    #[error("the context cannot be bound to the envelope: {0}")]
    Context(InvalidAad),
}

/// Why a plaintext has no token.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TokenizeError {
    /// Nothing was applied and nothing will be: try again when the cause is
    /// gone.
    #[error("not tokenized: {0}")]
    NotApplied(NotApplied),
    /// A token may have been created or refreshed. Tokenizing again is safe: a
    /// random token that no caller has expires, a deterministic one is found
    /// again.
    #[error("{0}")]
    Unknown(MutateError),
    /// Nothing was applied: the input cannot be tokenized.
    #[error("not tokenized: {0}")]
    Invalid(InvalidInput),
    /// Nothing was applied: the state in Redis cannot be changed.
    #[error("not tokenized: {0}")]
    Corrupt(Corrupt),
    /// Nothing was applied: the provider refused to encrypt.
    #[error("not tokenized: {0}")]
    Encrypt(EncryptError),
    /// Nothing was applied: the provider did not make the token's name.
    #[error("not tokenized: {0}")]
    Name(MacError),
}

impl From<MutateError> for TokenizeError {
    fn from(error: MutateError) -> Self {
        match error {
            MutateError::NotApplied(why) => Self::NotApplied(why),
            MutateError::Corrupt(corrupt) => Self::Corrupt(corrupt),
            unknown @ MutateError::Unknown { .. } => Self::Unknown(unknown),
        }
    }
}

/// Why a token is not revealed. The audit chain contains the
/// [`reason`](Refusal::reason) too.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Refusal {
    /// The policy denies it.
    #[error("the reveal policy is disabled; choose another to reveal tokens")]
    PolicyDisabled,
    /// No such token.
    #[error("there is no such token")]
    UnknownToken,
    /// Its retention has ended.
    #[error("the token has expired")]
    Expired,
    /// The token is live, but its envelope has expired: a replica that follows
    /// the whole-snapshot protocol refreshed only the token.
    #[error(
        "the token is live, but its envelope has expired: a foreign replica refreshed only the token; \
         tokenizing the value again repairs it"
    )]
    EnvelopeExpired,
    /// The envelope does not open.
    #[error("the envelope does not open: {0}")]
    Decrypt(DecryptError),
    /// The record is that of another token, written over this one's.
    #[error(
        "the record under this token is that of another one: somebody has copied it there; \
         restore this token from a backup, or purge it"
    )]
    OtherToken,
    /// The stored value is not a token record, or the given context cannot be
    /// used.
    #[error("{0}")]
    Unreadable(String),
    /// Redis could not be read.
    #[error("{0}")]
    Unavailable(ReadError),
}

impl Refusal {
    /// The reason in the audit chain.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PolicyDisabled => "reveal_policy_disabled",
            Self::UnknownToken => "unknown_token",
            Self::Expired => "token_expired",
            Self::Decrypt(DecryptError::Unavailable(_)) => "reveal_error",
            Self::EnvelopeExpired | Self::Decrypt(_) | Self::OtherToken => "decrypt_failed",
            Self::Unreadable(_) | Self::Unavailable(_) => "reveal_error",
        }
    }
}

/// Why there is no plaintext.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RevealError {
    /// The token is not revealed, and the audit chain says so.
    #[error("not revealed: {0}")]
    Refused(Refusal),
    /// The result is withheld: it is not known to be in the audit chain.
    #[error("withheld, because it could not be audited: {0}")]
    NotAudited(AppendError),
}

/// Why there are no plaintexts at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DetokenizeError {
    /// Redis could not be read.
    #[error("not restored: {0}")]
    Read(ReadError),
    /// The provider is unavailable; the tokens are unchanged.
    #[error("not restored: {0}; try again when the keys are available")]
    Keys(DecryptError),
    /// They are withheld: the restore is not known to be in the audit chain.
    #[error("withheld, because the restore could not be audited: {0}")]
    NotAudited(AppendError),
    /// The vault is closed.
    #[error("not restored: the vault is closed; open a new one")]
    Closed,
    /// The runtime ended first.
    #[error("not restored: the runtime ended before the restore was audited")]
    Abandoned,
}

/// One token of a bulk restore.
///
/// `Debug` shows neither text: the argument need not be a token.
#[derive(Clone)]
pub struct Restored {
    /// The argument.
    pub token: String,
    /// Its plaintext; `None` for a token that is missing, expired or
    /// undecryptable.
    pub plaintext: Option<Plaintext>,
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored")
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}

/// How a purge failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PurgeError {
    /// See [`MutateError`]. The audit chain has a record of the purge, and one of its
    /// failure.
    #[error(transparent)]
    Mutate(#[from] MutateError),
    /// Redis could not be read; nothing more was purged.
    #[error("{0}")]
    Read(ReadError),
    /// Nothing more was purged: the purge is not known to be in the audit chain.
    #[error("not purged, because it could not be audited: {0}")]
    NotAudited(AppendError),
    /// Some tokens that the audit chain says are purged were not there, or were not
    /// to be purged any more; the record of that is missing.
    #[error(
        "purged {purged} tokens; others, of which the audit chain says the same, were not there or \
         had been refreshed, and the record of that is missing: {cause}"
    )]
    OutcomeNotAudited {
        /// How many tokens were deleted.
        purged: u64,
        /// The error of the second audit event.
        cause: AppendError,
    },
    /// Nothing was purged: the vault is closed.
    #[error("not purged: the vault is closed; open a new one")]
    Closed,
    /// The runtime ended before the purge did.
    #[error(
        "outcome unknown: the runtime ended before the purge did. If the audit chain has a record \
         of it, the token may be gone"
    )]
    Abandoned,
}

impl From<NoResult> for DetokenizeError {
    fn from(why: NoResult) -> Self {
        match why {
            NoResult::Closed => Self::Closed,
            NoResult::Abandoned => Self::Abandoned,
        }
    }
}

impl From<NoResult> for PurgeError {
    fn from(why: NoResult) -> Self {
        match why {
            NoResult::Closed => Self::Closed,
            NoResult::Abandoned => Self::Abandoned,
        }
    }
}

from_cause! { InvalidInput: Object(InvalidObject), Context(InvalidAad) }
from_cause! { TokenizeError: Invalid(InvalidInput), Corrupt(Corrupt), Encrypt(EncryptError), Name(MacError) }
from_cause! { RevealError: Refused(Refusal), NotAudited(AppendError) }
from_cause! { DetokenizeError: Read(ReadError), NotAudited(AppendError) }
from_cause! { PurgeError: Read(ReadError), NotAudited(AppendError) }
