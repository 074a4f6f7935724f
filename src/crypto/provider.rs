//! The trait `CryptoProvider`: the vault's interface to encryption.

use std::{fmt, future::Future, sync::Arc, time::SystemTime};

use zeroize::Zeroizing;

use super::{Aad, DecryptError, EncryptError, Envelope, MacError};

/// Encryption with keys in a local file or a KMS.
///
/// [`conformance::check`](super::conformance::check) tests an implementation.
/// Futures may be dropped at any point; an encryption counts from its start.
pub trait CryptoProvider: Send + Sync + 'static {
    /// Encrypts `plaintext`, bound to `aad`, under the active key.
    ///
    /// `expires_at` is stored in the envelope in whole milliseconds; from then
    /// on it does not decrypt.
    ///
    /// # Errors
    ///
    /// See [`EncryptError`]; nothing was encrypted.
    fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> impl Future<Output = Result<Envelope, EncryptError>> + Send;

    /// Decrypts an envelope that was made with an equal `aad`.
    ///
    /// # Errors
    ///
    /// See [`DecryptError`]; the envelope is not changed.
    fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, DecryptError>> + Send;

    /// HMAC-SHA-256 of `data` in `domain` under every key, the active one
    /// first, then from the newest to the oldest.
    ///
    /// # Errors
    ///
    /// [`MacError::EmptyDomain`], and when the keys are unavailable.
    fn hmacs(
        &self,
        data: &[u8],
        domain: &str,
    ) -> impl Future<Output = Result<Vec<KeyedMac>, MacError>> + Send;
}

impl<P: CryptoProvider> CryptoProvider for Arc<P> {
    fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> impl Future<Output = Result<Envelope, EncryptError>> + Send {
        P::encrypt(self, plaintext, aad, expires_at)
    }

    fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> impl Future<Output = Result<Zeroizing<Vec<u8>>, DecryptError>> + Send {
        P::decrypt(self, envelope, aad)
    }

    fn hmacs(
        &self,
        data: &[u8],
        domain: &str,
    ) -> impl Future<Output = Result<Vec<KeyedMac>, MacError>> + Send {
        P::hmacs(self, data, domain)
    }
}

/// The name of a key in envelopes. Not secret.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId(String);

impl KeyId {
    /// The name itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<String> for KeyId {
    fn from(name: String) -> Self {
        Self(name)
    }
}

impl From<&str> for KeyId {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

/// The name, escaped and cut to 64 characters: it may come from an envelope
/// that was tampered with.
impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0.chars();
        for c in rest.by_ref().take(64) {
            write!(f, "{}", c.escape_debug())?;
        }
        match rest.next() {
            Some(_) => f.write_str("…"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyId({self})")
    }
}

/// An HMAC, and the key that made it.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyedMac {
    /// The key's name.
    pub kid: KeyId,
    /// HMAC-SHA-256: 32 bytes.
    pub mac: [u8; 32],
}

impl KeyedMac {
    /// The 64 lower-case hex digits.
    #[must_use]
    pub fn hex(&self) -> String {
        let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
        self.mac
            .iter()
            .flat_map(|byte| [digit(byte >> 4), digit(byte & 0xf)])
            .collect()
    }
}

/// With the key, an HMAC allows guessing a short secret.
impl fmt::Debug for KeyedMac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeyedMac({}, …)", self.kid)
    }
}
