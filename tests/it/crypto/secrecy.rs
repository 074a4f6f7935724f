//! No message, `Debug` or file shows a key or a plaintext.

use haechi_store_redis::crypto::{
    Aad, CryptoProvider as _, DecryptError, EncryptError, KeyFile, KeyId, KeyStorage, manage,
};

use super::{SplitMixEntropy, clock, over, stored};

/// The key of the file, in each form in which it could be printed.
async fn forms(storage: &impl KeyStorage) -> Vec<String> {
    use base64_forms::decode;
    let stored = stored(storage).await;
    let text = stored["keys"][0]["k"].as_str().unwrap().to_owned();
    let bytes = decode(&text);
    assert_eq!(bytes.len(), 32);
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let list = format!("{:?}", &bytes[..8]);
    vec![text, hex, list.trim_matches(['[', ']']).to_owned()]
}

mod base64_forms {
    /// Unpadded base64url, implemented separately from the code under test.
    pub(super) fn decode(text: &str) -> Vec<u8> {
        let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
        let mut bits = 0_u32;
        let mut held = 0;
        let mut bytes = Vec::new();
        for letter in text.chars() {
            bits = bits << 6 | u32::try_from(digits.find(letter).unwrap()).unwrap();
            held += 6;
            if held >= 8 {
                held -= 8;
                bytes.push((bits >> held) as u8);
            }
        }
        bytes
    }
}

/// Would catch a derived `Debug` that logs a key, a plaintext or AAD.
#[tokio::test]
async fn nothing_prints_a_key() {
    let directory = tempfile::tempdir().unwrap();
    let file = KeyFile::new(directory.path().join("keys.json"));
    let made = manage::init(&file, &clock(), &SplitMixEntropy::default())
        .await
        .unwrap();
    let memory = haechi_store_redis::crypto::MemoryKeys::from_text(
        file.load().await.unwrap().unwrap().to_string(),
    );
    let forms = forms(&file).await;
    let aad = Aad::from_json(r#"{"who":"ada-lovelace"}"#).unwrap();
    let keys = over(memory.clone()).await;
    let secret = "plain-secret-text";
    let envelope = keys.encrypt(secret.as_bytes(), &aad, None).await.unwrap();
    let other = Aad::from_json("{}").unwrap();
    let refused = keys.decrypt(&envelope, &other).await.unwrap_err();
    let shown = [
        format!("{file:#?}"),
        format!("{memory:?}"),
        format!("{keys:#?}"),
        format!("{keys:?}"),
        format!("{made:?}"),
        format!("{aad:?}"),
        format!("{envelope:?} {}", envelope.to_json()),
        format!("{:?}", keys.hmacs(secret.as_bytes(), "d").await.unwrap()),
        format!("{refused} {refused:?}"),
        format!("{:?}", keys.status()),
    ];
    for text in shown {
        for form in forms.iter().map(String::as_str).chain([secret, "lovelace"]) {
            assert!(!text.contains(form), "{form} in {text}");
        }
        // The list of bytes over several lines, as {:#?} prints it.
        let flat: String = text.split_whitespace().collect();
        assert!(!flat.contains(&forms[2].replace(' ', "")), "{text}");
    }
}

/// Would catch a key name in an envelope that forges lines of a log.
#[test]
fn names_of_keys_are_escaped_and_cut() {
    let kid = KeyId::from(format!("a\nerror: \u{1b}[2J{}", "x".repeat(1000)));
    for error in [
        DecryptError::UnknownKey { kid: kid.clone() }.to_string(),
        EncryptError::Exhausted { kid }.to_string(),
    ] {
        assert!(
            !error.contains(['\n', '\u{1b}']) && error.len() < 400,
            "{error}"
        );
        assert!(error.contains('…'), "{error}");
    }
}
