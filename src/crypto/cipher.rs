//! The two primitives, over bytes: AES-256-GCM and HMAC-SHA-256.

use aes_gcm::{AeadInOut as _, Aes256Gcm, KeyInit as _, aead::inout::InOutBuf};
use hmac::{Hmac, Mac as _};
use sha2::Sha256;
use zeroize::Zeroizing;

/// The plaintext is too long, or the ciphertext does not authenticate.
#[derive(Debug)]
pub(crate) struct Refused;

/// A key's 32 bytes, wiped from memory on drop.
pub(crate) struct SecretKey(Zeroizing<[u8; 32]>);

impl SecretKey {
    pub(crate) fn new(bytes: Zeroizing<[u8; 32]>) -> Self {
        Self(bytes)
    }

    /// Encrypts `plaintext` in place and returns the tag.
    ///
    /// `iv` must never have been used with this key.
    pub(crate) fn seal(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        plaintext: &mut [u8],
    ) -> Result<[u8; 16], Refused> {
        self.aes()
            .encrypt_inout_detached(&(*iv).into(), aad, InOutBuf::from(plaintext))
            .map(Into::into)
            .map_err(|_| Refused)
    }

    /// Decrypts `ciphertext` in place if `tag`, compared in constant time, is
    /// valid; otherwise leaves it unchanged.
    pub(crate) fn open(
        &self,
        iv: &[u8; 12],
        aad: &[u8],
        ciphertext: &mut [u8],
        tag: &[u8; 16],
    ) -> Result<(), Refused> {
        self.aes()
            .decrypt_inout_detached(
                &(*iv).into(),
                aad,
                InOutBuf::from(ciphertext),
                &(*tag).into(),
            )
            .map_err(|_| Refused)
    }

    /// The HMAC of `data`, keyed with the HMAC of `domain`: the key itself is
    /// only used for AES.
    pub(crate) fn mac(&self, data: &[u8], domain: &str) -> [u8; 32] {
        let derived = Zeroizing::new(hmac(&self.0, domain.as_bytes()));
        hmac(&derived, data)
    }

    fn aes(&self) -> Aes256Gcm {
        Aes256Gcm::new((&*self.0).into())
    }
}

impl std::fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SecretKey(…)")
    }
}

fn hmac(key: &[u8; 32], data: &[u8]) -> [u8; 32] {
    // HMAC pads a key to its block with zeros; a block is always accepted.
    let mut block = Zeroizing::new([0; 64]);
    block[..32].copy_from_slice(key);
    let mut mac = <Hmac<Sha256> as hmac::KeyInit>::new((&*block).into());
    mac.update(data);
    mac.finalize().into_bytes().into()
}
