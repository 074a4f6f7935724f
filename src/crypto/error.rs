//! Errors of encryption, typed by what a caller can do about them.
//!
//! No message contains a key, a plaintext, AAD or a file's content.

use std::time::SystemTime;

use crate::clock::iso8601;

use super::KeyId;

/// Why nothing was encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The active key has made all the encryptions that are secure: 2^32.
    #[error(
        "the key {kid} has reached its limit of 2^32 encryptions, and nothing was encrypted; \
         what it encrypted still decrypts. Rotate: `haechi-store keys rotate`"
    )]
    Exhausted {
        /// The active key.
        kid: KeyId,
    },

    /// Every key is retired.
    #[error(
        "no key is active, and nothing was encrypted; retired keys still decrypt. \
         Make an active one: `haechi-store keys rotate`"
    )]
    NoActiveKey,

    /// There is no randomness for the initialization vector.
    #[error("the source of randomness failed, and nothing was encrypted: {0}; try again")]
    Entropy(String),

    /// The plaintext is longer than the provider takes.
    #[error("the plaintext is longer than can be encrypted at once, and nothing was; split it")]
    TooLong,

    /// The encryption could not be counted before it was made.
    #[error(
        "nothing was encrypted, because it could not be counted: {0}; \
         or count per process, if keys are rotated often"
    )]
    NotCounted(String),

    /// The provider is unavailable.
    #[error("nothing was encrypted: {0}")]
    Unavailable(String),
}

/// Why an envelope was not decrypted. It was not changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The envelope has expired.
    #[error("the envelope expired at {}; it does not decrypt any more", iso8601(*at))]
    Expired {
        /// When it expired.
        at: SystemTime,
    },

    /// The key's name is unknown, also after reading the keys again.
    #[error(
        "the envelope's key {kid} is not among the keys; use the key file that it was made with, \
         retired keys included"
    )]
    UnknownKey {
        /// The key's name in the envelope.
        kid: KeyId,
    },

    /// The AAD differs from that of the encryption.
    #[error(
        "the envelope was made with different AAD; \
         give the same purpose, token, type and context"
    )]
    AadMismatch,

    /// Ciphertext, tag or vector do not match the key.
    #[error(
        "the envelope does not authenticate: it was changed, or another key has its key's name; \
         restore it from a copy"
    )]
    Tampered,

    /// A member has a value that this version does not support.
    #[error(
        "the envelope's `{member}` is not supported by this version; \
         read it with the version that wrote it"
    )]
    Unsupported {
        /// Its name.
        member: &'static str,
    },

    /// A member is malformed.
    #[error("the envelope's `{member}` cannot be read: it was changed; restore it from a copy")]
    Malformed {
        /// Its name.
        member: &'static str,
    },

    /// The provider is unavailable.
    #[error("nothing was decrypted: {0}")]
    Unavailable(String),
}

/// Why there is no HMAC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacError {
    /// The domain is empty, so two uses would share a key.
    #[error("the domain of an HMAC is empty; name its purpose")]
    EmptyDomain,

    /// The provider is unavailable.
    #[error("there is no HMAC: {0}")]
    Unavailable(String),
}

/// What is wrong with the keys of [`LocalKeys`](super::LocalKeys), or with
/// their storage. `at` is that storage, as text.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// There are none.
    #[error("there are no keys in {at}; make them with `haechi-store keys init`")]
    Absent {
        /// The storage.
        at: String,
    },

    /// There are some already.
    #[error(
        "{at} exists already and was not changed; \
         `haechi-store keys rotate` adds a key to it"
    )]
    Exists {
        /// The storage.
        at: String,
    },

    /// Other users may read or write the file.
    #[error(
        "{at} is accessible to other users than its owner (mode {mode:03o}) and was not read; \
         run `chmod 600` on it, and rotate if others may have read it"
    )]
    Exposed {
        /// The storage.
        at: String,
        /// Its permission bits.
        mode: u32,
    },

    /// The text is not a key file's. It was not changed.
    #[error("{at} is not a key file: {what}; it was not changed. Restore it from a copy")]
    Corrupt {
        /// The storage.
        at: String,
        /// What is wrong, without content.
        what: String,
    },

    /// The storage cannot be read.
    #[error("{at} could not be read: {error}; give the process permission, or the right path")]
    Unreadable {
        /// The storage.
        at: String,
        /// The system's error.
        error: String,
    },

    /// The storage cannot be written, and is unchanged.
    #[error(
        "{at} could not be written: {error}; it was not changed. \
         Give the process write permission for it and its directory"
    )]
    NotWritable {
        /// The storage.
        at: String,
        /// The system's error.
        error: String,
    },

    /// Another process has been changing the keys for too long.
    #[error(
        "another process holds the lock {lock} for over five seconds, and {at} was not changed; \
         check whether that process is stopped, and try again"
    )]
    Busy {
        /// The storage.
        at: String,
        /// The file that is locked.
        lock: String,
    },

    /// The storage was written, but a power failure may undo that.
    #[error(
        "{at} was written, but the system did not confirm that it will last: {error}; \
         check with `haechi-store keys status`"
    )]
    Unsettled {
        /// The storage.
        at: String,
        /// The system's error.
        error: String,
    },

    /// There is no randomness for a key.
    #[error("the source of randomness failed: {0}; no key was made. Try again")]
    Entropy(String),
}
