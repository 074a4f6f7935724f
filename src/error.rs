//! Errors, typed by what a caller can do about them.
//!
//! No message contains a value from an event, a password or a URL, nor control
//! characters in what Redis replied.

use std::fmt;

use crate::chain::{AppendId, EventHash, Head, InvalidEvent, Position, Sequence};

/// Conversions from causes that `Display` includes: `source()` does not return
/// them again, so that printing the chain of an error shows each text once.
macro_rules! from_cause {
    ($error:ident: $($variant:ident($cause:ty)),+) => {
        $(impl From<$cause> for $error {
            fn from(cause: $cause) -> Self {
                Self::$variant(cause)
            }
        })+
    };
}
pub(crate) use from_cause;

/// How an append failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The event is not in the chain and never will be: record it again when
    /// the cause is gone.
    #[error("not applied: {0}")]
    NotApplied(NotApplied),

    /// The event may be in the chain, or may still be appended. Recording it
    /// again may append it twice: [`resolve`](crate::audit::resolve) the handle first.
    #[error(
        "outcome unknown: the append may or may not have been applied ({cause}); before recording \
         the event again, find out with `haechi-store audit resolve {handle}`"
    )]
    Unknown {
        /// Identifies the append and the only position that it can have.
        handle: Box<Handle>,
        /// The last failure.
        cause: Cause,
    },

    /// The event cannot be a record; nothing was sent.
    #[error("invalid event, nothing was appended: {0}")]
    Invalid(InvalidEvent),

    /// The state in Redis is not a chain that can be appended to. Nothing was
    /// appended, and nothing will be until this is repaired.
    #[error("corrupt state, nothing was appended: {0}")]
    Corrupt(Corrupt),
}

/// Why an append was not applied.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotApplied {
    /// The queue was full until the deadline.
    #[error(
        "the queue of this process was full until the deadline; \
         slow the callers down, or raise the queue's capacity"
    )]
    QueueFull,

    /// What waits in this process has reached
    /// [`AuditConfig::queue_bytes`](crate::audit::AuditConfig::queue_bytes) or
    /// [`VaultConfig::queue_bytes`](crate::vault::VaultConfig::queue_bytes).
    #[error(
        "overloaded: what waits in this process has reached the queue's limit in bytes; slow \
         the callers down, or raise the limit (queue_bytes)"
    )]
    Overloaded,

    /// The deadline passed before the event could be appended.
    #[error("the deadline passed first; last seen: {0}")]
    Deadline(Cause),

    /// Redis or the network refuses permanently.
    #[error("{0}")]
    Refused(Cause),

    /// The sink was closed, or the runtime that drove it has ended.
    #[error("the sink is closed; open a new one")]
    Closed,

    /// There is no randomness for the append's identity.
    #[error("the source of randomness failed: {0}")]
    Entropy(String),

    /// The chain has reached the last sequence.
    #[error("the chain is full: it ends at sequence 2^53-1")]
    ChainFull,
}

/// A failure of Redis or the network, as text for logs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    code: Option<String>,
    message: String,
}

impl Cause {
    /// A failure other than an error reply; `message` must not contain secrets.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self {
            code: None,
            message: message.into(),
        }
    }

    /// An error reply of Redis; `message` must not contain secrets.
    #[must_use]
    pub fn of_reply(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: Some(code.into()),
            message: message.into(),
        }
    }

    /// The error reply's code, such as `READONLY`; `None` if there was no
    /// reply.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.code.as_deref()
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Escaped(&self.message).fmt(f)
    }
}

/// Text that may come from Redis, without control characters: they could forge
/// lines of a log, or control the terminal that shows it.
struct Escaped<'a>(&'a str);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c.is_control() {
            true => write!(f, "{}", c.escape_default()),
            false => fmt::Write::write_char(f, c),
        })
    }
}

/// A state of the keys that is not a valid chain or vault, or not the one seen
/// before.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corrupt {
    /// A key holds another type than the store's.
    #[error(
        "the key {key} holds a {}, not what the store keeps there; \
         move it away, or choose another prefix",
        Escaped(found)
    )]
    WrongType {
        /// The full key.
        key: String,
        /// Its type.
        found: String,
    },

    /// `head`, `head:hash` and the list's last element do not name one record.
    #[error(
        "the keys {prefix}head, {prefix}head:hash and the end of {prefix}chain disagree ({}); \
         run `haechi-store audit repair`, which verifies the list and rebuilds the two from it",
        Escaped(detail)
    )]
    Diverged {
        /// The prefix of the three keys.
        prefix: String,
        /// The difference, without any record's content.
        detail: String,
    },

    /// A record that this process had seen is no longer in the chain.
    #[error(transparent)]
    RolledBack(Box<RolledBack>),

    /// A key of the vault has a value that the store cannot have written.
    #[error(
        "the key {key} holds {}; nothing was applied, and the tokens are as they were: \
         stop every writer and find out what wrote it",
        Escaped(detail)
    )]
    Unreadable {
        /// The full key.
        key: String,
        /// The value's description, without any token's content.
        detail: String,
    },

    /// A field of the vault that is not a token record.
    #[error(
        "the field {} of {key} is not a token record ({}); the other tokens are whole: \
         restore this one from a backup, or purge it",
        Escaped(token),
        Escaped(detail)
    )]
    Token {
        /// The full key of the hash.
        key: String,
        /// The field.
        token: String,
        /// What is wrong, without the field's content.
        detail: String,
    },

    /// A mutation that this process had seen is no longer in the vault.
    #[error(
        "rolled back: this process has seen version {seen} of the vault under {prefix} and its own \
         mutations up to there, of which some are gone; version is {met} now. Tokens made since may \
         be lost. To go on, restore them; or accept the loss: restart this process, or, if it keeps \
         what it has seen in a file, `haechi-store vault resume --accept FIRST..{seen} --seen FILE` \
         (FIRST is the first lost version)"
    )]
    VaultRolledBack {
        /// The prefix of the vault's keys.
        prefix: String,
        /// The highest version that this process had seen.
        seen: u64,
        /// The current version.
        met: u64,
    },
}

/// The chain is not the one that this process has seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "rolled back: this process has seen sequence {seq} with hash {hash}, but {found}: acknowledged \
     records are lost. To go on, restore the records; or accept the loss, which leaves a record of \
     it: `haechi-store audit resume --accept {first}..{seq} --head-hash {hash}`{how}. Add `--seen FILE` \
     if this process keeps what it has seen in a file, and has ended, and `--key-file FILE` if the \
     replicas share keys: those that have seen what was lost then go on. Any other one goes on once \
     it is given `--accept {first}..{seq}`, too",
    seq = seen.sequence, hash = seen.event_hash, found = describe_found(found.as_ref(), met),
    first = describe_first(self).0, how = describe_first(self).1
)]
pub struct RolledBack {
    /// The highest position this process had seen.
    pub seen: Position,
    /// The current hash at that sequence.
    pub found: Option<EventHash>,
    /// The current head.
    pub met: Head,
    /// The highest position seen that still stands, as far as it was looked for.
    pub standing: Option<Position>,
}

/// The first lost sequence, or its placeholder and how it is found.
fn describe_first(rolled_back: &RolledBack) -> (String, String) {
    let RolledBack {
        seen,
        met,
        standing,
        ..
    } = rolled_back;
    let earliest = standing.map_or(1, |standing| standing.sequence.get() + 1);
    let latest = seen.sequence.get().min(met.len() + 1);
    if earliest >= latest {
        return (latest.to_string(), String::new());
    }
    let how = format!(
        " (FIRST is the first lost sequence, from {earliest} to {latest}: {latest} if nothing was \
         appended since; otherwise the first at which the chain is not what anchors or an earlier \
         export say)"
    );
    ("FIRST".to_owned(), how)
}

fn describe_found(found: Option<&EventHash>, met: &Head) -> String {
    match (found, met) {
        (Some(found), _) => format!("hash {found} stands there now"),
        (None, Head::Empty) => "the chain is empty now".to_owned(),
        (None, Head::At(met)) => format!("the chain ends at sequence {} now", met.sequence),
    }
}

/// Identifies an append, and tells where its record can be: all that
/// [`resolve`](crate::audit::resolve) needs, in any process.
///
/// Its text form, which `haechi-store` prints and reads, is
/// `{appendId}.{baseSequence}.{baseHash}`, with `0.-` for an empty chain, and for an
/// append that was sent `.{sequence}.{eventHash}` after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handle {
    /// The append's identity.
    pub append_id: AppendId,
    /// The record stands after this one, or nowhere.
    pub base: Head,
    /// The only position that the record can have, in a batch that was sealed onto
    /// `base`. `None` for a ticket, taken before anything was sent.
    pub position: Option<Position>,
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.", self.append_id)?;
        match self.base {
            Head::Empty => f.write_str("0.-")?,
            Head::At(base) => write!(f, "{}.{}", base.sequence, base.event_hash)?,
        }
        match self.position {
            None => Ok(()),
            Some(position) => write!(f, ".{}.{}", position.sequence, position.event_hash),
        }
    }
}

/// A text that is not a [`Handle`]'s.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a handle; expected {{appendId}}.{{baseSequence}}.{{baseHash}}, with 0.- for an empty \
     chain, and for an append that was sent .{{sequence}}.{{eventHash}} after it"
)]
pub struct InvalidHandle;

impl std::str::FromStr for Handle {
    type Err = InvalidHandle;

    fn from_str(text: &str) -> Result<Self, InvalidHandle> {
        let parts: Vec<_> = text.split('.').collect();
        let (append_id, base, position) = match parts[..] {
            [append_id, sequence, hash] => (append_id, (sequence, hash), None),
            [append_id, base, base_hash, sequence, hash] => {
                let position = position_of(sequence, hash).ok_or(InvalidHandle)?;
                (append_id, (base, base_hash), Some(position))
            }
            _ => return Err(InvalidHandle),
        };
        let base = match base {
            ("0", "-") => Head::Empty,
            (sequence, hash) => Head::At(position_of(sequence, hash).ok_or(InvalidHandle)?),
        };
        if position.is_some_and(|position| position.sequence.get() <= base.len()) {
            return Err(InvalidHandle);
        }
        Ok(Self {
            append_id: AppendId::parse(append_id).ok_or(InvalidHandle)?,
            base,
            position,
        })
    }
}

fn position_of(sequence: &str, hash: &str) -> Option<Position> {
    Some(Position {
        sequence: Sequence::new(sequence.parse().ok()?)?,
        event_hash: EventHash::parse(hash)?,
    })
}

/// Why reading from Redis failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ReadError {
    /// Redis could not be reached, or gave no valid reply; nothing is known
    /// about the chain.
    #[error("Redis could not be read: {0}")]
    Unavailable(Cause),

    /// Redis replied, and its state is not a chain.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

/// What an attempt can have done that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AttemptError {
    /// It never ran and never will; a retry may help.
    #[error("{0}")]
    Refused(Cause),
    /// It never ran and never will, and a retry will not help.
    #[error("{0}")]
    Denied(Cause),
    /// It may have run, or may run later.
    #[error("{0}")]
    Ambiguous(Cause),
    /// It changed nothing, because the state in Redis does not allow a write.
    #[error(transparent)]
    Corrupt(#[from] Corrupt),
}

impl AppendError {
    /// Whether recording the event again may succeed, and cannot append it
    /// twice: it was not applied, for a reason that can pass.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::NotApplied(why) => why.is_retryable(),
            Self::Unknown { .. } | Self::Invalid(_) | Self::Corrupt(_) => false,
        }
    }
}

impl NotApplied {
    /// Whether the reason can pass by itself.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::QueueFull | Self::Overloaded | Self::Deadline(_) | Self::Entropy(_) => true,
            Self::Refused(_) | Self::Closed | Self::ChainFull => false,
        }
    }
}

impl ReadError {
    /// Whether reading again may succeed.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Unavailable(_) => true,
            Self::Corrupt(_) => false,
        }
    }
}

impl From<AttemptError> for ReadError {
    fn from(error: AttemptError) -> Self {
        match error {
            AttemptError::Refused(cause)
            | AttemptError::Denied(cause)
            | AttemptError::Ambiguous(cause) => Self::Unavailable(cause),
            AttemptError::Corrupt(corrupt) => Self::Corrupt(corrupt),
        }
    }
}

from_cause! { AppendError: NotApplied(NotApplied), Invalid(InvalidEvent), Corrupt(Corrupt) }

#[cfg(test)]
mod tests;
