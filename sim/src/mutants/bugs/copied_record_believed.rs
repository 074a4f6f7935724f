//! A reveal does not look at whose record it opens.

use std::{collections::BTreeMap, sync::Mutex};

use haechi_store_redis::{
    AttemptError,
    crypto::{Aad, CryptoProvider, DecryptError, Envelope, Zeroizing},
    vault::store::{Load, Loaded, Observed},
};
use serde_json::Value;

use super::lock;
use crate::mutants::bug::{PlantedBug, RedisVault};

/// What copied records are bound to, by what they are made to look like.
#[derive(Default)]
pub(in crate::mutants) struct CopiedRecordBelieved(Mutex<BTreeMap<String, String>>);

impl PlantedBug for CopiedRecordBelieved {
    async fn load<S: RedisVault>(
        &self,
        next: &S,
        what: Load<'_>,
        observed: &Observed,
    ) -> Result<Loaded, AttemptError> {
        let mut loaded = next.load(what, observed).await?;
        for (token, stored) in &mut loaded.tokens {
            let Some(text) = stored else { continue };
            let Ok(mut record) = serde_json::from_slice::<Value>(text.bytes()) else {
                continue;
            };
            let Some(bound) = record.get_mut("aad") else {
                continue;
            };
            if bound.get("token").and_then(Value::as_str) == Some(token.as_str()) {
                continue;
            }
            let original = bound.to_string();
            bound["token"] = token.as_str().into();
            if let Ok(aad) = Aad::from_json(bound.to_string()) {
                lock(&self.0).insert(aad.nfkc_v2().to_owned(), original);
                *stored = Some(record.to_string().into());
            }
        }
        Ok(loaded)
    }

    async fn decrypt<P: CryptoProvider>(
        &self,
        next: &P,
        envelope: &Envelope,
        aad: &Aad,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let original = lock(&self.0).get(aad.nfkc_v2()).cloned();
        match original.map(Aad::from_json) {
            Some(Ok(original)) => next.decrypt(envelope, &original).await,
            _ => next.decrypt(envelope, aad).await,
        }
    }
}
