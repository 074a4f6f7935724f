//! The conformance test for providers accepts a correct one and rejects broken
//! ones.

use std::time::SystemTime;

use haechi_store_redis::crypto::{
    Aad, Counting, CryptoProvider, DecryptError, EncryptError, Envelope, KeyedMac, LocalKeys,
    MacError, MemoryKeys, Zeroizing, conformance::check,
};

use haechi_store_redis::test_util::FixedEntropy;

use super::{Keys, SplitMixEntropy, clock, initialized, over};

/// Would catch a test that no provider passes, and a `LocalKeys` with a
/// violation.
#[tokio::test]
async fn local_keys_conform() {
    let keys = over(initialized(&SplitMixEntropy::default()).await).await;
    assert_eq!(check(&keys).await, []);
    assert_eq!(check(&std::sync::Arc::new(keys)).await, []);
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    IgnoresAad,
    IgnoresExpiry,
    IgnoresAlg,
    KeepsPlaintext,
    IgnoresDomain,
    LosesTheLastByte,
    PassesForAnOutage,
}

/// `LocalKeys` with one fault.
struct Broken(Keys<MemoryKeys>, Fault);

impl Broken {
    fn aad(&self, aad: &Aad) -> Aad {
        match self.1 {
            Fault::IgnoresAad => Aad::from_json("{}").unwrap(),
            _ => aad.clone(),
        }
    }
}

impl CryptoProvider for Broken {
    async fn encrypt(
        &self,
        plaintext: &[u8],
        aad: &Aad,
        expires_at: Option<SystemTime>,
    ) -> Result<Envelope, EncryptError> {
        let kept = match self.1 {
            Fault::LosesTheLastByte => &plaintext[..plaintext.len().saturating_sub(1)],
            _ => plaintext,
        };
        let mut envelope = self.0.encrypt(kept, &self.aad(aad), expires_at).await?;
        if matches!(self.1, Fault::KeepsPlaintext) {
            let text = String::from_utf8_lossy(plaintext).into_owned();
            envelope.other.insert("hint".to_owned(), text.into());
        }
        Ok(envelope)
    }

    async fn decrypt(
        &self,
        envelope: &Envelope,
        aad: &Aad,
    ) -> Result<Zeroizing<Vec<u8>>, DecryptError> {
        let mut envelope = envelope.clone();
        match self.1 {
            Fault::IgnoresExpiry => envelope.expires_at = None,
            Fault::IgnoresAlg => envelope.alg = "AES-256-GCM".to_owned(),
            _ => {}
        }
        let decrypted = self.0.decrypt(&envelope, &self.aad(aad)).await;
        match (self.1, decrypted) {
            (Fault::PassesForAnOutage, Err(DecryptError::Tampered)) => {
                Err(DecryptError::Unavailable("try again".to_owned()))
            }
            (_, decrypted) => decrypted,
        }
    }

    async fn hmacs(&self, data: &[u8], domain: &str) -> Result<Vec<KeyedMac>, MacError> {
        match self.1 {
            Fault::IgnoresDomain if !domain.is_empty() => self.0.hmacs(data, "one").await,
            _ => self.0.hmacs(data, domain).await,
        }
    }
}

/// Would catch a test that every provider passes.
#[tokio::test]
async fn broken_providers_are_caught() {
    for (fault, expected) in [
        (Fault::IgnoresAad, "aad"),
        (Fault::IgnoresExpiry, "expiry"),
        (Fault::IgnoresAlg, "members"),
        (Fault::KeepsPlaintext, "secrecy"),
        (Fault::IgnoresDomain, "hmac"),
        (Fault::LosesTheLastByte, "round trip"),
        (Fault::PassesForAnOutage, "members"),
    ] {
        let broken = Broken(
            over(initialized(&SplitMixEntropy::default()).await).await,
            fault,
        );
        let violations = check(&broken).await;
        assert!(
            violations.iter().any(|found| found.check == expected),
            "{fault:?}: {violations:?}"
        );
    }
}

/// Would catch a test that misses repeated vectors, a fault that discloses
/// plaintexts.
#[tokio::test]
async fn a_stuck_generator_is_caught() {
    let storage = initialized(&SplitMixEntropy::default()).await;
    let keys = LocalKeys::open(storage, clock(), FixedEntropy(Some(7)), Counting::Persisted);
    let violations = check(&keys.await.unwrap()).await;
    assert!(violations.iter().any(|found| found.check == "vectors"));
}
