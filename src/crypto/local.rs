//! `LocalKeys`, the provider with keys in this process.

use std::{borrow::Cow, fmt, time::SystemTime};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    clock::{Clock, SystemClock, iso8601},
    entropy::{Entropy, SystemEntropy},
    sync::Arc,
};

use super::{
    Aad, CryptoProvider, DecryptError, EncryptError, Envelope, KeyFile, KeyStatus, KeyStorage,
    KeyedMac, KeysError, MacError,
    cached_keys::CachedKeys,
    document::{ALG, Key},
    envelope::{decode, encode},
};

/// The AAD encoding that this version writes.
const ENCODING: &str = "nfkc-json-v2";
/// Where the encryptions under a key are counted; a key may make 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// In the storage, for all processes and restarts, in windows that are
    /// written before they are used. Storage that is not writable is refused.
    Persisted,
    /// In this process only, starting from the count in the storage; nothing is
    /// written. Only secure if keys are rotated long before all processes and
    /// restarts together can reach the limit.
    PerProcess,
}

/// AES-256-GCM under keys from a [`KeyStorage`].
///
/// The storage is read at the start, when an envelope names an unknown key,
/// when a window is reserved, and otherwise at most every five seconds. While
/// it cannot be read, the keys last read stay in use.
///
/// One value per process and storage, shared in an [`Arc`](std::sync::Arc);
/// [`close`](Self::close) returns the unused part of its window.
pub struct LocalKeys<K = KeyFile, C = SystemClock, E = SystemEntropy> {
    keys: CachedKeys<K, C>,
    clock: C,
    entropy: E,
}

impl<K: KeyStorage, C: Clock, E: Entropy> LocalKeys<K, C, E> {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// When there are none, or they cannot be read. Whether they can be written
    /// shows at the first encryption.
    pub async fn open(
        storage: K,
        clock: C,
        entropy: E,
        counting: Counting,
    ) -> Result<Self, KeysError> {
        Ok(Self {
            keys: CachedKeys::open(storage, clock.clone(), counting).await?,
            clock,
            entropy,
        })
    }

    /// Returns the encryptions that were counted and not used. The value stays
    /// usable; the next encryption reserves a new window.
    ///
    /// Without it, the rest counts as used.
    ///
    /// # Errors
    ///
    /// When the storage cannot be written; the rest then counts as used.
    pub async fn close(&self) -> Result<(), KeysError> {
        self.keys.close().await
    }

    /// The keys as last read, the active one first. Under
    /// [`Counting::PerProcess`] the active one's count is this process's.
    #[must_use]
    pub fn status(&self) -> Vec<KeyStatus> {
        self.keys.status()
    }

    /// Whether the active key has made half its encryptions: time to rotate.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.status().first().is_some_and(KeyStatus::is_worn)
    }
}

impl<K: KeyStorage, C: Clock, E: Entropy> CryptoProvider for LocalKeys<K, C, E> {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        let key = self.keys.count_one().await?;
        let mut iv = [0; 12];
        self.entropy
            .fill(&mut iv)
            .map_err(|error| EncryptError::Entropy(error.to_string()))?;
        let mut text = Zeroizing::new(plaintext.to_vec());
        let aad = aad.nfkc_v2().as_bytes();
        let tag = key
            .secret
            .seal(&iv, aad, &mut text)
            .map_err(|_| EncryptError::TooLong)?;
        Ok(Envelope {
            version: Some(2),
            alg: ALG.to_owned(),
            kid: key.status.kid.clone(),
            iv: encode(&iv),
            ct: encode(&text),
            tag: encode(&tag),
            aad_hash: encode(&Sha256::digest(aad)),
            aad_encoding: Some(ENCODING.to_owned()),
            created_at: Some(iso8601(self.clock.wall())),
            expires_at: expires_at.map(iso8601),
            other: serde_json::Map::new(),
        })
    }

    async fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let aad = canonical_aad(envelope, aad)?;
        let malformed = |member| DecryptError::Malformed { member };
        match envelope.expires_at() {
            Err(_) => return Err(malformed("expiresAt")),
            Ok(Some(at)) if at <= self.clock.wall() => return Err(DecryptError::Expired { at }),
            Ok(_) => {}
        }
        let key = self.keys.key(&envelope.kid).await?;
        if envelope.aad_hash != encode(&Sha256::digest(aad.as_bytes())) {
            return Err(DecryptError::AadMismatch);
        }
        let member = |text: &str, name| decode(text).ok_or(malformed(name));
        let iv: [u8; 12] = member(&envelope.iv, "iv")?
            .try_into()
            .map_err(|_| malformed("iv"))?;
        let tag: [u8; 16] = member(&envelope.tag, "tag")?
            .try_into()
            .map_err(|_| malformed("tag"))?;
        let mut text = Zeroizing::new(member(&envelope.ct, "ct")?);
        key.secret
            .open(&iv, aad.as_bytes(), &mut text, &tag)
            .map_err(|_| DecryptError::Tampered)?;
        Ok(text)
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        if domain.is_empty() {
            return Err(MacError::EmptyDomain);
        }
        self.keys.refresh().await;
        let ring = self.keys.ring();
        let mac = |key: &Arc<Key>| KeyedMac {
            kid: key.status.kid.clone(),
            mac: key.secret.mac(data, domain),
        };
        Ok(ring.keys().iter().map(mac).collect())
    }
}

/// The canonical text that the envelope is bound to, if its kind is supported.
fn canonical_aad<'a>(envelope: &Envelope, aad: &'a Aad) -> Result<Cow<'a, str>, DecryptError> {
    let unsupported = |member| DecryptError::Unsupported { member };
    if envelope.alg != ALG {
        return Err(unsupported("alg"));
    }
    match (envelope.version, envelope.aad_encoding.as_deref()) {
        (Some(3..), _) => Err(unsupported("v")),
        (_, Some(ENCODING)) | (Some(2), None) => Ok(aad.nfkc_v2().into()),
        (_, Some(_)) => Err(unsupported("aadEncoding")),
        (_, None) => Ok(aad.stable_v1().into()),
    }
}

impl<K: KeyStorage, C: Clock, E: Entropy> fmt::Debug for LocalKeys<K, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LocalKeys")
            .field("keys", &self.status())
            .finish_non_exhaustive()
    }
}
