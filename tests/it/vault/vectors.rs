//! A vault written by the reference, read and changed here.

use haechi_store_redis::{
    audit::store::AuditStore,
    crypto::MemoryKeys,
    test_util::{ManualClock, MemoryChain, MemoryVault, VaultModel},
    vault::{Details, Deterministic, JsonObject, RevealError, TokenType, View},
};
use serde_json::Value;

use super::{Vault, clock_at, keys, token, vault};

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../vectors/vault.json")).unwrap()
}

/// Shortly after the vectors were made.
const MADE: u64 = 1_795_400_000_000;

/// The reference's hash with the reference's keys.
async fn theirs(chain: MemoryChain) -> (Value, Vault<MemoryVault<ManualClock>>) {
    let vectors = vectors();
    let clock = clock_at(MADE);
    let storage = MemoryKeys::from_text(vectors["keyFile"].to_string());
    let keys = keys(&storage, &clock).await;
    let store = MemoryVault::with_clock(VaultModel::default(), clock.clone());
    let vault = vault(store, chain, keys, &clock, Deterministic::All);
    let hash = vectors["hash"].as_object().unwrap().clone();
    let fill = |view: &mut View| {
        for (name, text) in &hash {
            view.set(&token(name), text.as_str().unwrap());
        }
    };
    vault.tokens().transaction([], fill).await.unwrap();
    (vectors, vault)
}

/// Would catch envelopes, AAD or keys that are read differently than they were
/// written.
#[tokio::test]
async fn every_token_of_the_reference_reveals() {
    let (vectors, vault) = theirs(MemoryChain::new()).await;
    let mut revealed = 0;
    for made in vectors["tokenised"].as_array().unwrap() {
        let token = made["token"].as_str().unwrap();
        if vectors["hash"].get(token).is_none() {
            continue;
        }
        let plaintext = vault.reveal(token, None).await.unwrap();
        assert_eq!(plaintext.expose(), made["plaintext"].as_str().unwrap());
        revealed += 1;
    }
    assert_eq!(revealed, vectors["hash"].as_object().unwrap().len());
}

/// Would catch another name for a deterministic token: the two implementations
/// would keep two tokens of one value. And a refresh that changes more than the
/// times and the envelope.
#[tokio::test]
async fn deterministic_tokens_of_the_reference_are_found_and_refreshed() {
    let (vectors, vault) = theirs(MemoryChain::new()).await;
    let mut found = 0;
    for made in vectors["tokenised"].as_array().unwrap() {
        let name = made["token"].as_str().unwrap();
        let Some(before) = vectors["hash"].get(name) else {
            continue;
        };
        if made["deterministic"] != true {
            continue;
        }
        let token_type = TokenType::new(made["type"].as_str().unwrap()).unwrap();
        let plaintext = made["plaintext"].as_str().unwrap();
        let again = vault.tokenize(&token_type, plaintext, Details::default());
        let again = again.await.unwrap();
        assert_eq!((again.token.as_str(), again.reused), (name, true));
        let stored = vault
            .tokens()
            .read_tokens(std::slice::from_ref(&again.token))
            .await;
        let stored = stored.unwrap().tokens[&again.token].clone().unwrap();
        let before: Value = serde_json::from_str(before.as_str().unwrap()).unwrap();
        let after: Value = serde_json::from_slice(stored.bytes()).unwrap();
        for member in ["type", "createdAt", "metadata", "aad"] {
            assert_eq!(after[member], before[member], "{member}");
        }
        assert_ne!(after["envelope"], before["envelope"]);
        assert_eq!(after["envelope"]["expiresAt"], after["expiresAt"]);
        let names =
            |value: &Value| -> Vec<String> { value.as_object().unwrap().keys().cloned().collect() };
        assert_eq!(names(&after), names(&before));
        assert_eq!(names(&after["envelope"]), names(&before["envelope"]));
        let revealed = vault.reveal(name, None).await.unwrap();
        assert_eq!(revealed.expose(), plaintext);
        found += 1;
    }
    assert!(found >= 5, "{found}");
}

/// Would catch an export that shows more or less than the reference's.
#[tokio::test]
async fn the_metadata_is_what_the_reference_exports() {
    let (vectors, vault) = theirs(MemoryChain::new()).await;
    let listing = vault.tokens().export_metadata(None).await.unwrap();
    assert_eq!(listing.quarantined, []);
    let ours = serde_json::to_value(&listing.tokens).unwrap();
    let mut theirs = vectors["metadata"].as_array().unwrap().clone();
    theirs.sort_by(|a, b| a["token"].as_str().cmp(&b["token"].as_str()));
    assert_eq!(ours, Value::Array(theirs));
    let email = TokenType::new("email").unwrap();
    let emails = vault.tokens().export_metadata(Some(&email)).await.unwrap();
    assert!(
        emails
            .tokens
            .iter()
            .all(|token| token.token_type == "email")
    );
    assert!(emails.tokens.len() < listing.tokens.len());
}

/// Would catch an audit event with another member, reason or token than the
/// reference's, for the same calls in the same order.
#[tokio::test]
async fn the_audit_events_are_the_references() {
    let chain = MemoryChain::new();
    let (vectors, vault) = theirs(chain.clone()).await;
    let purged = token(vectors["purged"].as_str().unwrap());
    let fill = |view: &mut View| view.set(&purged, "what it held is unknown");
    vault.tokens().transaction([], fill).await.unwrap();
    let events = vectors["auditEvents"].as_array().unwrap();
    let tokens = vectors["tokenised"].as_array().unwrap();
    let first = tokens[0]["token"].as_str().unwrap();
    vault.reveal(first, None).await.unwrap();
    let some = [first.to_owned(), "tok_email_0000000000000000".to_owned()];
    vault.detokenize(&some).await.unwrap();
    // The plaintext of the code in the vectors is unknown; other input differs
    // only in its code.
    let refused = vault.reveal("4111111111111111", None).await;
    assert!(matches!(refused, Err(RevealError::Refused(_))));
    vault.purge(purged.as_str()).await.unwrap();
    vault.purge_expired().await.unwrap();

    let ours = chain.read(0, 100).await.unwrap();
    assert_eq!(ours.len(), events.len());
    for (ours, theirs) in ours.iter().zip(events) {
        let mut ours: Value = serde_json::from_slice(ours).unwrap();
        let mut theirs = theirs.clone();
        let members = ours.as_object_mut().unwrap();
        members.remove("auditIntegrity");
        // Ours alone name the tokens.
        let named = members.remove("tokens");
        let expected = match theirs["operation"].as_str().unwrap() {
            "token-vault:detokenize" => Some(serde_json::json!([first])),
            "token-vault:purge-expired" => Some(serde_json::json!([])),
            _ => None,
        };
        assert_eq!(named, expected);
        for event in [&mut ours, &mut theirs] {
            assert_eq!(event["id"].as_str().unwrap().len(), 36);
            assert_eq!(event["timestamp"].as_str().unwrap().len(), 24);
            for volatile in ["id", "timestamp"] {
                event.as_object_mut().unwrap().remove(volatile);
            }
            if event["token"]
                .as_str()
                .is_some_and(|token| token.starts_with("nontoken_"))
            {
                assert_eq!(
                    event["token"].as_str().unwrap().len(),
                    "nontoken_".len() + 32
                );
                event["token"] = "nontoken_".into();
            }
        }
        assert_eq!(ours, theirs);
    }
}

/// Would catch metadata that discloses a plaintext, and a context that is not
/// bound.
#[tokio::test]
async fn metadata_is_filtered_and_context_is_bound() {
    let (_, vault) = theirs(MemoryChain::new()).await;
    let mut details = Details::default();
    details.context = JsonObject::from_json(r#"{"path":"a","n":1.50}"#).unwrap();
    details.metadata = JsonObject::from_json(
        r#"{"source":"t","value":"hunter2","plaintext":"hunter2","payload":{"x":"hunter2"}}"#,
    )
    .unwrap();
    let secret = TokenType::new("secret").unwrap();
    let made = vault.tokenize(&secret, "hunter2", details).await.unwrap();
    let loaded = vault
        .tokens()
        .read_tokens(std::slice::from_ref(&made.token))
        .await;
    let stored = loaded.unwrap().tokens[&made.token].clone().unwrap();
    let text = std::str::from_utf8(stored.bytes()).unwrap();
    assert!(!text.contains("hunter2"), "{text}");
    let stored: Value = serde_json::from_str(text).unwrap();
    assert_eq!(stored["metadata"], serde_json::json!({"source": "t"}));
    assert_eq!(
        stored["aad"]["context"],
        serde_json::json!({"n": 1.5, "path": "a"})
    );
    assert_eq!(stored["aad"]["token"], made.token.as_str());

    let same = JsonObject::from_json(r#"{"n":1.5,"path":"a"}"#).unwrap();
    let revealed = vault.reveal(made.token.as_str(), Some(&same)).await;
    assert_eq!(revealed.unwrap().expose(), "hunter2");
    let other = JsonObject::from_json(r#"{"n":1.5,"path":"b"}"#).unwrap();
    vault
        .reveal(made.token.as_str(), Some(&other))
        .await
        .unwrap_err();
}
