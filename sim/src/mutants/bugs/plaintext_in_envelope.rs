//! An envelope names the plaintext where the key's name should be.

use std::time::SystemTime;

use haechi_store_redis::crypto::{Aad, CryptoProvider, EncryptError, Envelope, KeyId};

use crate::mutants::bug::PlantedBug;

pub(in crate::mutants) struct PlaintextInEnvelope;

impl PlantedBug for PlaintextInEnvelope {
    async fn encrypt<P: CryptoProvider>(
        &self,
        next: &P,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        let envelope = next.encrypt(plaintext, aad, expires_at).await?;
        let text = String::from_utf8_lossy(plaintext).into_owned();
        Ok(Envelope {
            kid: KeyId::from(text),
            ..envelope
        })
    }
}
