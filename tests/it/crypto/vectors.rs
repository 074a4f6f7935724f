//! Golden data from the reference implementation.

use haechi_store_redis::crypto::{Aad, CryptoProvider as _, DecryptError, Envelope, MemoryKeys};
use serde_json::Value;

use super::over;

const CANONICAL: &str = include_str!("../../vectors/canonical.json");
const CRYPTO: &str = include_str!("../../vectors/crypto.json");

fn parse(vectors: &str) -> Value {
    serde_json::from_str(vectors).unwrap()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap()
}

/// Would catch a difference in canonical text, with which the reference's
/// envelopes do not decrypt; and names that are accepted although they are
/// equal after normalization.
#[test]
fn canonical_texts_of_aad() {
    let vectors = parse(CANONICAL);
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 300);
    let mut collisions = 0;
    for vector in vectors {
        // AAD is an object: other values are tested as a member's value.
        let json = format!("{{\"a\":{}}}", text(&vector["json"]));
        let aad = Aad::from_json(json.as_str());
        match vector.get("nfkc_v2") {
            Some(nfkc) => {
                let aad = aad.unwrap();
                assert_eq!(aad.nfkc_v2(), format!("{{\"a\":{}}}", text(nfkc)), "{json}");
                let stable = format!("{{\"a\":{}}}", text(&vector["stable_v1"]));
                assert_eq!(aad.stable_v1(), stable, "{json}");
            }
            None => {
                collisions += 1;
                let refused = aad.unwrap_err().to_string();
                assert!(refused.contains("after normalization"), "{refused}");
            }
        }
    }
    assert_eq!(collisions, 4);
}

/// Would catch an envelope of the reference that is read differently, a legacy
/// envelope that no longer decrypts, and a missing check.
#[tokio::test]
async fn envelopes() {
    let vectors = parse(CRYPTO);
    let keys = over(MemoryKeys::from_text(vectors["keyFile"].to_string())).await;
    let (mut good, mut refused) = (0, Vec::new());
    for vector in vectors["envelopes"].as_array().unwrap() {
        let json = vector["envelope"].to_string();
        let envelope = Envelope::from_json(&json).unwrap();
        assert_eq!(parse(&envelope.to_json()), vector["envelope"]);
        let aad = Aad::from_json(text(&vector["aad"])).unwrap();
        let decrypted = keys.decrypt(&envelope, &aad).await;
        if vector["expect"] == "ok" {
            good += 1;
            let expected = text(&vector["plaintext"]);
            assert_eq!(decrypted.unwrap().as_slice(), expected.as_bytes(), "{json}");
        } else {
            refused.push((text(&vector["name"]), decrypted.unwrap_err()));
        }
    }
    assert_eq!((good, refused.len()), (37, 8));
    for (name, error) in refused {
        let is_expected = match name {
            "ct_flipped" | "tag_flipped" | "iv_flipped" => error == DecryptError::Tampered,
            "aad_changed" => error == DecryptError::AadMismatch,
            "unknown_kid" => matches!(error, DecryptError::UnknownKey { .. }),
            "expired" => matches!(error, DecryptError::Expired { .. }),
            "alg" => error == DecryptError::Unsupported { member: "alg" },
            "aad_encoding" => {
                error
                    == DecryptError::Unsupported {
                        member: "aadEncoding",
                    }
            }
            _ => false,
        };
        assert!(is_expected, "{name}: {error}");
    }
}

/// Would catch an HMAC keyed with the key itself, and a tag in another order or
/// case: deterministic tokens would not be found.
#[tokio::test]
async fn hmacs() {
    let vectors = parse(CRYPTO);
    let keys = over(MemoryKeys::from_text(vectors["keyFile"].to_string())).await;
    let hmacs = vectors["hmacs"].as_array().unwrap();
    assert_eq!(hmacs.len(), 20);
    for vector in hmacs {
        let macs = keys
            .hmacs(text(&vector["data"]).as_bytes(), text(&vector["domain"]))
            .await
            .unwrap();
        let kids: Vec<_> = macs.iter().map(|mac| mac.kid.as_str()).collect();
        assert_eq!(kids, ["local-2-active", "local-1-retired"]);
        assert_eq!(macs[0].hex(), vector["hex"]);
    }
}
