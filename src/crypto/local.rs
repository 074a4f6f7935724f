//! The provider over keys that this process holds itself. It must not know
//! where they are kept.

use std::{fmt, time::Duration};

use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

use crate::{
    clock::{Clock, iso8601},
    entropy::Entropy,
    sync::{Arc, Mutex, lock},
};

use super::{
    Aad, CryptoProvider, DecryptError, EncryptError, Envelope, KeyId, KeyStatus, KeyStorage,
    KeyedMac, KeysError, MacError,
    document::{ALG, Key, LIMIT, Ring},
    envelope::{decode, encode},
    manage,
};

/// The AAD encoding that this version writes.
const ENCODING: &str = "nfkc-json-v2";
/// Encryptions in a process's first window, and in its largest. Small at
/// first, so that many short runs do not use a key up; larger then, so that a
/// long run seldom writes.
const FIRST_WINDOW: u64 = 1 << 10;
const LARGEST_WINDOW: u64 = 1 << 20;
/// How long a rotation by another process may go unnoticed.
const REFRESH: Duration = Duration::from_secs(5);

/// Where the encryptions under a key are counted; a key may make 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counting {
    /// In the storage, for all processes and restarts, in windows that are
    /// written before they are used. Storage that cannot be written is refused.
    Persisted,
    /// In this process alone, starting from what the storage says; nothing is
    /// written. Only safe where keys are rotated long before all processes and
    /// restarts together can reach the limit.
    PerProcess,
}

/// AES-256-GCM under keys from a [`KeyStorage`].
///
/// The storage is read at the start, when an envelope names an unknown key,
/// when a window is reserved, and otherwise at most every five seconds. While
/// it cannot be read, the keys that were read last go on.
///
/// One value per process and storage, shared in an [`Arc`](std::sync::Arc);
/// [`close`](Self::close) gives back what is not used of its window.
pub struct LocalKeys<K, C, E> {
    storage: K,
    clock: C,
    entropy: E,
    counting: Counting,
    state: Mutex<State>,
    /// Held while a window is reserved, so that waiting callers share it.
    reserving: tokio::sync::Mutex<()>,
}

struct State {
    ring: Arc<Ring>,
    /// By the monotonic clock.
    read_at: Duration,
    window: Option<Window>,
    next_size: u64,
}

/// Encryptions that are counted already and not yet made.
struct Window {
    kid: KeyId,
    left: u64,
}

impl<K: KeyStorage, C: Clock, E: Entropy> LocalKeys<K, C, E> {
    /// Reads the keys.
    ///
    /// # Errors
    ///
    /// When there are none, or they cannot be read. That they cannot be
    /// written shows at the first encryption.
    pub async fn open(
        storage: K,
        clock: C,
        entropy: E,
        counting: Counting,
    ) -> Result<Self, KeysError> {
        let ring = Arc::new(manage::read(&storage).await?);
        let state = State {
            ring,
            read_at: clock.now(),
            window: None,
            next_size: FIRST_WINDOW,
        };
        Ok(Self {
            storage,
            clock,
            entropy,
            counting,
            state: Mutex::new(state),
            reserving: tokio::sync::Mutex::new(()),
        })
    }

    /// Gives back the encryptions that were counted and not made. Afterwards
    /// everything still works; the next encryption reserves anew.
    ///
    /// Without it nothing is unsafe: what is left counts as used.
    ///
    /// # Errors
    ///
    /// When the storage cannot be written; what is left counts as used then.
    pub async fn close(&self) -> Result<(), KeysError> {
        let _reserving = self.reserving.lock().await;
        let window = lock(&self.state).window.take();
        match (window, self.counting) {
            (Some(Window { kid, left }), Counting::Persisted) if left > 0 => {
                manage::refund(&self.storage, kid, left).await
            }
            _ => Ok(()),
        }
    }

    /// The keys as they were read last, the active one first. Under
    /// [`Counting::PerProcess`] the active one's count is this process's.
    #[must_use]
    pub fn status(&self) -> Vec<KeyStatus> {
        let state = lock(&self.state);
        let mut keys: Vec<_> = state
            .ring
            .keys()
            .iter()
            .map(|key| key.status.clone())
            .collect();
        if let (Counting::PerProcess, Some(window)) = (self.counting, &state.window) {
            for key in keys.iter_mut().filter(|key| key.kid == window.kid) {
                key.used = LIMIT - window.left;
            }
        }
        keys
    }

    /// Whether the active key has made half its encryptions: time to rotate.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.status().first().is_some_and(KeyStatus::is_worn)
    }

    /// The active key, one encryption under it being counted.
    async fn count_one(&self) -> Result<Arc<Key>, EncryptError> {
        self.refresh().await;
        if let Some(key) = self.take_one() {
            return Ok(key);
        }
        let _reserving = self.reserving.lock().await;
        if let Some(key) = self.take_one() {
            return Ok(key);
        }
        self.reserve().await
    }

    fn take_one(&self) -> Option<Arc<Key>> {
        let mut state = lock(&self.state);
        let key = state.ring.active()?.clone();
        let window = state.window.as_mut()?;
        if window.kid != key.status.kid || window.left == 0 {
            return None;
        }
        window.left -= 1;
        Some(key)
    }

    /// Counts a window in the storage, then takes the first of it.
    async fn reserve(&self) -> Result<Arc<Key>, EncryptError> {
        let unavailable = |error: KeysError| EncryptError::Unavailable(error.to_string());
        let (left_over, size) = {
            let mut state = lock(&self.state);
            // Taken before the storage is asked, so that what is given back is
            // given back once, whatever becomes of this.
            let window = match self.counting {
                Counting::Persisted => state.window.take(),
                Counting::PerProcess => None,
            };
            (window, state.next_size)
        };
        let (ring, granted) = match self.counting {
            Counting::Persisted => {
                let left_over = left_over.map(|Window { kid, left }| (kid, left));
                manage::reserve(&self.storage, size, left_over)
                    .await
                    .map_err(unavailable)?
            }
            Counting::PerProcess => {
                let ring = manage::read(&self.storage).await.map_err(unavailable)?;
                let left = ring
                    .active()
                    .map(|key| LIMIT.saturating_sub(key.status.used));
                (ring, left.unwrap_or(0))
            }
        };
        let mut state = lock(&self.state);
        state.ring = Arc::new(ring);
        state.read_at = self.clock.now();
        let key = state
            .ring
            .active()
            .ok_or(EncryptError::NoActiveKey)?
            .clone();
        let kid = key.status.kid.clone();
        let is_spent = self.counting == Counting::PerProcess
            && state
                .window
                .as_ref()
                .is_some_and(|window| window.kid == kid);
        if granted == 0 || is_spent {
            return Err(EncryptError::Exhausted { kid });
        }
        state.next_size = (size * 2).min(LARGEST_WINDOW);
        state.window = Some(Window {
            kid,
            left: granted - 1,
        });
        Ok(key)
    }

    /// Reads the storage again if that is due.
    async fn refresh(&self) {
        let now = self.clock.now();
        let is_due = {
            let mut state = lock(&self.state);
            let is_due = now.saturating_sub(state.read_at) >= REFRESH;
            if is_due {
                // Others need not read it at the same time.
                state.read_at = now;
            }
            is_due
        };
        if is_due {
            // The keys that are known outlive a storage that is away.
            let _ = self.reload().await;
        }
    }

    async fn reload(&self) -> Result<Arc<Ring>, KeysError> {
        let ring = Arc::new(manage::read(&self.storage).await?);
        let mut state = lock(&self.state);
        state.read_at = self.clock.now();
        state.ring = ring.clone();
        Ok(ring)
    }

    async fn key(&self, kid: &KeyId) -> Result<Arc<Key>, DecryptError> {
        let known = lock(&self.state).ring.get(kid).cloned();
        if let Some(key) = known {
            return Ok(key);
        }
        let ring = self
            .reload()
            .await
            .map_err(|error| DecryptError::Unavailable(error.to_string()))?;
        ring.get(kid)
            .cloned()
            .ok_or_else(|| DecryptError::UnknownKey { kid: kid.clone() })
    }
}

impl<K: KeyStorage, C: Clock, E: Entropy> CryptoProvider for LocalKeys<K, C, E> {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<Duration>,
    ) -> Result<Envelope, EncryptError> {
        let key = self.count_one().await?;
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
        let aad = canonical_aad(envelope, aad)?.as_bytes();
        let malformed = |member| DecryptError::Malformed { member };
        match envelope.expires_at() {
            Err(_) => return Err(malformed("expiresAt")),
            Ok(Some(at)) if at <= self.clock.wall() => return Err(DecryptError::Expired { at }),
            Ok(_) => {}
        }
        let key = self.key(&envelope.kid).await?;
        if envelope.aad_hash != encode(&Sha256::digest(aad)) {
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
            .open(&iv, aad, &mut text, &tag)
            .map_err(|_| DecryptError::Tampered)?;
        Ok(text)
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        if domain.is_empty() {
            return Err(MacError::EmptyDomain);
        }
        self.refresh().await;
        let ring = lock(&self.state).ring.clone();
        let mac = |key: &Arc<Key>| KeyedMac {
            kid: key.status.kid.clone(),
            mac: key.secret.mac(data, domain),
        };
        Ok(ring.keys().iter().map(mac).collect())
    }
}

/// The text that the envelope is bound to, if it is of a kind known here.
fn canonical_aad<'a>(envelope: &Envelope, aad: &'a Aad) -> Result<&'a str, DecryptError> {
    let unsupported = |member| DecryptError::Unsupported { member };
    if envelope.alg != ALG {
        return Err(unsupported("alg"));
    }
    match (envelope.version, envelope.aad_encoding.as_deref()) {
        (Some(3..), _) => Err(unsupported("v")),
        (_, Some(ENCODING)) | (Some(2), None) => Ok(aad.nfkc_v2()),
        (_, Some(_)) => Err(unsupported("aadEncoding")),
        (_, None) => Ok(aad.stable_v1()),
    }
}

impl<K, C, E> fmt::Debug for LocalKeys<K, C, E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = lock(&self.state);
        f.debug_struct("LocalKeys")
            .field("counting", &self.counting)
            .field("keys", &state.ring.keys())
            .finish_non_exhaustive()
    }
}
