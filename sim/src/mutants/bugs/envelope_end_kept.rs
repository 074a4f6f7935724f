//! A refreshed token keeps the end of its first envelope.

use std::{collections::BTreeMap, sync::Mutex, time::SystemTime};

use haechi_store_redis::crypto::{Aad, CryptoProvider, EncryptError, Envelope};

use super::lock;
use crate::mutants::bug::PlantedBug;

/// When the first envelopes end, by what they are bound to.
#[derive(Default)]
pub(in crate::mutants) struct EnvelopeEndKept(Mutex<BTreeMap<String, Option<SystemTime>>>);

impl PlantedBug for EnvelopeEndKept {
    async fn encrypt<P: CryptoProvider>(
        &self,
        next: &P,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        let first = *lock(&self.0)
            .entry(aad.nfkc_v2().to_owned())
            .or_insert(expires_at);
        next.encrypt(plaintext, aad, first).await
    }
}
