//! Errors of encryption, typed by what a caller can do about them.
//!
//! No message here ever holds a key, a plaintext, AAD or a file's content.

use std::time::SystemTime;

use crate::clock::iso8601;

use super::KeyId;

/// Why nothing was encrypted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// The active key has made all the encryptions that are safe: 2^32.
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

    /// No randomness was to be had for the initialization vector.
    #[error("the source of randomness failed, and nothing was encrypted: {0}; try again")]
    Entropy(String),

    /// The plaintext is longer than the provider takes.
    #[error("the plaintext is longer than can be encrypted at once, and nothing was; split it")]
    TooLong,

    /// The encryption could not be counted before it was made.
    #[error(
        "nothing was encrypted, for it could not be counted: {0}; \
         or choose to count per process, where keys are rotated often"
    )]
    NotCounted(String),

    /// Whoever holds the keys cannot be asked.
    #[error("nothing was encrypted: {0}")]
    Unavailable(String),
}

/// Why an envelope was not decrypted. It is as it was in every case.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecryptError {
    /// The envelope's time has passed.
    #[error("the envelope expired at {}; it does not decrypt any more", iso8601(*at))]
    Expired {
        /// When it expired.
        at: SystemTime,
    },

    /// No key of that name is known, also after looking again.
    #[error(
        "the envelope's key {kid} is not among the keys; give the key file that it was made with, \
         retired keys included"
    )]
    UnknownKey {
        /// As the envelope names it.
        kid: KeyId,
    },

    /// The AAD is not the one that the envelope was made with.
    #[error(
        "the envelope was made for other AAD than was given; \
         give the same purpose, token, type and context"
    )]
    AadMismatch,

    /// Ciphertext, tag or vector are not what the key made.
    #[error(
        "the envelope does not authenticate: it was changed, or another key has its key's name; \
         restore it from a copy"
    )]
    Tampered,

    /// A member says that the envelope is of a kind that cannot be read here.
    #[error(
        "the envelope's `{member}` is none that this version reads; \
         read it with the version that wrote it"
    )]
    Unsupported {
        /// Its name.
        member: &'static str,
    },

    /// A member has not the form of its kind.
    #[error("the envelope's `{member}` cannot be read: it was changed; restore it from a copy")]
    Malformed {
        /// Its name.
        member: &'static str,
    },

    /// Whoever holds the keys cannot be asked.
    #[error("nothing was decrypted: {0}")]
    Unavailable(String),
}

/// Why there is no HMAC.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MacError {
    /// The domain is empty, so that two uses would not be kept apart.
    #[error("the domain of an HMAC is empty; name what it is for")]
    EmptyDomain,

    /// Whoever holds the keys cannot be asked.
    #[error("there is no HMAC: {0}")]
    Unavailable(String),
}

/// What is wrong with the keys of [`LocalKeys`](super::LocalKeys), or with
/// where they are kept. `at` is that place, in words.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeysError {
    /// There are none.
    #[error("there are no keys in {at}; make them with `haechi-store keys init`")]
    Absent {
        /// The place.
        at: String,
    },

    /// There are some already.
    #[error(
        "{at} exists already and was not changed; \
         `haechi-store keys rotate` adds a key to it"
    )]
    Exists {
        /// The place.
        at: String,
    },

    /// Others than the owner may read or write the file.
    #[error(
        "{at} is open to others than its owner (mode {mode:03o}) and was not read; \
         run `chmod 600` on it, and rotate if others may have read it"
    )]
    Exposed {
        /// The place.
        at: String,
        /// Its permission bits.
        mode: u32,
    },

    /// The text is no key file's. It was not changed.
    #[error("{at} is not a key file: {what}; it was not changed. Restore it from a copy")]
    Corrupt {
        /// The place.
        at: String,
        /// What is wrong, without content.
        what: String,
    },

    /// The place cannot be read.
    #[error("{at} could not be read: {error}; give the process permission, or the right path")]
    Unreadable {
        /// The place.
        at: String,
        /// What the system said.
        error: String,
    },

    /// The place cannot be written, and holds what it held.
    #[error(
        "{at} could not be written: {error}; it is as it was. \
         Let the process write it and its directory"
    )]
    NotWritable {
        /// The place.
        at: String,
        /// What the system said.
        error: String,
    },

    /// Another process has been changing the keys for too long.
    #[error(
        "another process holds the lock {lock} for over five seconds, and {at} is as it was; \
         see whether that process is stopped, and try again"
    )]
    Busy {
        /// The place.
        at: String,
        /// The file that is locked.
        lock: String,
    },

    /// The place was written, but may lose that with the power.
    #[error(
        "{at} was written, but the system did not confirm that it will last: {error}; \
         look with `haechi-store keys status`"
    )]
    Unsettled {
        /// The place.
        at: String,
        /// What the system said.
        error: String,
    },

    /// No randomness was to be had for a key.
    #[error("the source of randomness failed: {0}; no key was made. Try again")]
    Entropy(String),
}
