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
        let bound = serde_json::from_str(aad.nfkc_v2()).unwrap_or_default();
        let first = *lock(&self.0)
            .entry(without_end(bound))
            .or_insert(expires_at);
        next.encrypt(plaintext, aad, first).await
    }
}

/// What an envelope is bound to besides its end.
fn without_end(mut bound: serde_json::Map<String, serde_json::Value>) -> String {
    bound.remove("expiresAt");
    serde_json::Value::Object(bound).to_string()
}
