//! `TokenVault`, the interface for callers: plaintext in, token out, and back.

use super::{
    object::{InvalidObject, JsonObject},
    plaintext::Plaintext,
    policy::VaultPolicy,
    store::VaultStore,
    token::{InvalidTokenType, TokenId},
    token_store::{MutateError, TokenStore},
};
use crate::error::from_cause;
use crate::{
    audit::AuditSink,
    clock::{Clock, SystemClock},
    crypto::{DecryptError, EncryptError, InvalidAad, MacError},
    entropy::{Entropy, SystemEntropy},
    error::{AppendError, Corrupt, NotApplied, ReadError},
    sync::Arc,
};

/// Turns plaintexts into tokens and back, over a vault that other processes
/// use as well. Cheap to clone.
///
/// What it gives out or takes away is in the audit chain before the caller
/// has it.
pub struct TokenVault<S, P, C = SystemClock, E = SystemEntropy> {
    pub(super) tokens: TokenStore<S, C, E>,
    pub(super) crypto: Arc<P>,
    pub(super) audit: AuditSink<C, E>,
    pub(super) clock: C,
    pub(super) entropy: E,
    pub(super) policy: VaultPolicy,
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
    /// A vault of `tokens`, whose envelopes `crypto` makes and opens.
    ///
    /// Programs use [`Builder::token_vault`](crate::Builder::token_vault).
    pub fn new(
        tokens: TokenStore<S, C, E>,
        crypto: Arc<P>,
        audit: AuditSink<C, E>,
        clock: C,
        entropy: E,
        policy: VaultPolicy,
    ) -> Self {
        Self {
            tokens,
            crypto,
            audit,
            clock,
            entropy,
            policy,
        }
    }

    /// The mutations beneath.
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

/// What goes with a plaintext.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Details {
    /// Bound to the envelope: it opens only under the same context, unless
    /// [`reveal`](TokenVault::reveal) is given another.
    pub context: JsonObject,
    /// Kept readable beside the envelope, without its members `value`,
    /// `plaintext` and `payload`.
    pub metadata: JsonObject,
}

/// A token and how it came about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tokenized {
    /// The token.
    pub token: TokenId,
    /// Whether it stood already, and was refreshed.
    pub reused: bool,
}

/// What cannot be tokenized; nothing was applied.
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
    /// Nothing was applied and nothing ever will be: try again when the reason
    /// has gone.
    #[error("not tokenized: {0}")]
    NotApplied(NotApplied),
    /// A token may have been made or refreshed. Tokenizing again is safe: a
    /// random token nobody knows expires, a deterministic one is found again.
    #[error("{0}")]
    Unknown(MutateError),
    /// Nothing was applied: the input cannot be tokenized.
    #[error("not tokenized: {0}")]
    Invalid(InvalidInput),
    /// Nothing was applied: what stands in Redis cannot be changed.
    #[error("not tokenized: {0}")]
    Corrupt(Corrupt),
    /// Nothing was applied: the keys' holder would not encrypt.
    #[error("not tokenized: {0}")]
    Encrypt(EncryptError),
    /// Nothing was applied: the keys' holder would not make the token's name.
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

/// Why a token is not revealed. The audit chain says so too, by
/// [`reason`](Refusal::reason).
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
    /// The token lives, but its envelope has expired: a replica that follows
    /// the whole-snapshot protocol refreshed the one without the other.
    #[error(
        "the token lives, but its envelope has expired: a foreign replica refreshed the token \
         without it; tokenizing the value again here heals it"
    )]
    EnvelopeExpired,
    /// The envelope does not open.
    #[error("the envelope does not open: {0}")]
    Decrypt(DecryptError),
    /// What is stored is no token record, or the given context cannot be used.
    #[error("{0}")]
    Unreadable(String),
    /// Redis could not be read.
    #[error("{0}")]
    Unavailable(ReadError),
}

impl Refusal {
    /// The reason as the audit chain gives it.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::PolicyDisabled => "reveal_policy_disabled",
            Self::UnknownToken => "unknown_token",
            Self::Expired => "token_expired",
            Self::Decrypt(DecryptError::Unavailable(_)) => "reveal_error",
            Self::EnvelopeExpired | Self::Decrypt(_) => "decrypt_failed",
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
    /// The outcome is withheld: it is not known to be in the audit chain.
    #[error("withheld, because it could not be audited: {0}")]
    NotAudited(AppendError),
}

/// Why there are no plaintexts at all.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DetokenizeError {
    /// Redis could not be read.
    #[error("not restored: {0}")]
    Read(ReadError),
    /// The keys' holder cannot be asked; the tokens are as they were.
    #[error("not restored: {0}; ask again when the keys can be had")]
    Keys(DecryptError),
    /// They are withheld: the restore is not known to be in the audit chain.
    #[error("withheld, because the restore could not be audited: {0}")]
    NotAudited(AppendError),
}

/// One token of a bulk restore.
///
/// `Debug` shows neither text: what was asked for need not be a token.
#[derive(Clone)]
pub struct Restored {
    /// As it was asked for.
    pub token: String,
    /// What it stands for; `None` for a token that is missing, expired or does
    /// not decrypt.
    pub plaintext: Option<Plaintext>,
}

impl std::fmt::Debug for Restored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Restored")
            .field("plaintext", &self.plaintext)
            .finish_non_exhaustive()
    }
}

/// How a purge ended, when it did not end well.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PurgeError {
    /// See [`MutateError`].
    #[error(transparent)]
    Mutate(#[from] MutateError),
    /// Redis could not be read; nothing more was purged.
    #[error("{0}")]
    Read(ReadError),
    /// The purge is applied, but not known to be in the audit chain.
    #[error("applied, not audited: {purged} tokens are gone, but: {cause}")]
    NotAudited {
        /// How many tokens are gone.
        purged: u64,
        /// What became of the audit event.
        cause: AppendError,
    },
}

from_cause! { InvalidInput: Object(InvalidObject), Context(InvalidAad) }
from_cause! { TokenizeError: Invalid(InvalidInput), Corrupt(Corrupt), Encrypt(EncryptError), Name(MacError) }
from_cause! { RevealError: Refused(Refusal), NotAudited(AppendError) }
from_cause! { DetokenizeError: Read(ReadError), NotAudited(AppendError) }
from_cause! { PurgeError: Read(ReadError) }
