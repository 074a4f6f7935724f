//! The JSON of envelopes, and what decrypting an altered one returns.

use std::time::{Duration, UNIX_EPOCH};

use haechi_store_redis::{
    clock::Clock as _,
    crypto::{Aad, Counting, CryptoProvider as _, DecryptError, Envelope, LocalKeys},
};
use serde_json::{Value, json};

use super::{SplitMixEntropy, initialized, over};

fn aad() -> Aad {
    Aad::from_json(r#"{"purpose":"token-vault"}"#).unwrap()
}

/// Would catch members with another order or other names than readers in other
/// languages expect, and members lost by a round trip.
#[tokio::test]
async fn json() {
    let keys = over(initialized(&SplitMixEntropy::default()).await).await;
    let at = UNIX_EPOCH + Duration::from_millis(1_900_000_000_120);
    let envelope = keys.encrypt(b"x", &aad(), Some(at)).await.unwrap();
    let text = envelope.to_json();
    let names: Vec<_> = text.split('"').skip(1).step_by(2).collect();
    let expected = ["v", "alg", "AES-256-GCM", "kid"];
    assert_eq!(names[..4], expected);
    let members = [
        "v",
        "alg",
        "kid",
        "iv",
        "ct",
        "tag",
        "aadHash",
        "aadEncoding",
        "createdAt",
        "expiresAt",
    ];
    let mut places = members.map(|name| text.find(&format!("\"{name}\":")).unwrap());
    assert!(places.is_sorted(), "{text}");
    places.sort_unstable();
    let mut value: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(value.as_object().unwrap().len(), members.len());
    assert_eq!(value["expiresAt"], "2030-03-17T17:46:40.120Z");
    assert_eq!(envelope.expires_at(), Ok(Some(at)));

    // Within a record, with a member of a later version.
    value["later"] = json!({ "a": [1, null] });
    let record = json!({ "type": "email", "envelope": value });
    let record: Value = serde_json::from_str(&record.to_string()).unwrap();
    let read: Envelope = serde_json::from_value(record["envelope"].clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), record["envelope"]);
    assert_eq!(keys.decrypt(&read, &aad()).await.unwrap().as_slice(), b"x");
}

/// Would catch a text that is accepted as an envelope although a member is
/// absent or of another type, and a panic.
#[test]
fn invalid_envelopes_are_refused() {
    let whole = json!({
        "v": 2, "alg": "a", "kid": "k", "iv": "", "ct": "", "tag": "", "aadHash": "",
        "aadEncoding": "e", "createdAt": "c", "expiresAt": "x",
    });
    Envelope::from_json(whole.to_string()).unwrap();
    for name in whole.as_object().unwrap().keys() {
        for wrong in [json!({}), json!(1.5), json!([]), json!(true)] {
            let mut changed = whole.clone();
            changed[name] = wrong;
            let refused = Envelope::from_json(changed.to_string()).unwrap_err();
            assert!(
                refused.to_string().contains(&format!("`{name}`")),
                "{refused}"
            );
        }
        let mut without = whole.clone();
        without.as_object_mut().unwrap().remove(name);
        let may_be_absent = ["v", "aadEncoding", "createdAt", "expiresAt"];
        let read = Envelope::from_json(without.to_string());
        assert_eq!(
            read.is_ok(),
            may_be_absent.contains(&name.as_str()),
            "{name}"
        );
    }
    for text in ["", "[]", "null", "{", "{}x", "\u{feff}{}"] {
        Envelope::from_json(text).unwrap_err();
    }
    Envelope::from_json([0xff, 0xfe]).unwrap_err();
}

/// Would catch a member that can be changed without detection: each is set to
/// other values, and the error must name that member.
#[tokio::test]
async fn each_member_changed_is_refused() {
    let keys = over(initialized(&SplitMixEntropy::default()).await).await;
    let envelope = keys.encrypt(b"secret", &aad(), None).await.unwrap();
    let value = serde_json::to_value(&envelope).unwrap();
    let malformed = |member| DecryptError::Malformed { member };
    let unsupported = |member| DecryptError::Unsupported { member };
    let flipped = |name: &str| {
        let text = value[name].as_str().unwrap();
        let first = if text.starts_with('A') { "B" } else { "A" };
        Value::from(format!("{first}{}", &text[1..]))
    };
    let expired = |at| DecryptError::Expired {
        at: UNIX_EPOCH + Duration::from_millis(at),
    };
    let cases = [
        ("v", 3.into(), unsupported("v")),
        ("alg", "aes-256-gcm".into(), unsupported("alg")),
        ("alg", "".into(), unsupported("alg")),
        (
            "kid",
            "other".into(),
            DecryptError::UnknownKey {
                kid: "other".into(),
            },
        ),
        ("iv", flipped("iv"), DecryptError::Tampered),
        ("iv", "AAAA".into(), malformed("iv")),
        ("iv", "".into(), malformed("iv")),
        ("ct", flipped("ct"), DecryptError::Tampered),
        ("ct", "".into(), DecryptError::Tampered),
        ("ct", "=".into(), malformed("ct")),
        ("tag", flipped("tag"), DecryptError::Tampered),
        // A shorter tag is easier to guess.
        ("tag", "AAAA".into(), malformed("tag")),
        ("aadHash", flipped("aadHash"), DecryptError::AadMismatch),
        ("aadHash", "".into(), DecryptError::AadMismatch),
        (
            "aadEncoding",
            "json-stable-v1".into(),
            unsupported("aadEncoding"),
        ),
        (
            "expiresAt",
            "1999-01-01T00:00:00.000Z".into(),
            expired(915_148_800_000),
        ),
        ("expiresAt", "1969-01-01T00:00:00.000Z".into(), expired(0)),
        (
            "expiresAt",
            "2099-13-01T00:00:00.000Z".into(),
            malformed("expiresAt"),
        ),
        ("expiresAt", "".into(), malformed("expiresAt")),
    ];
    for (member, other, expected) in cases {
        let mut changed = value.clone();
        changed[member] = other;
        let changed = Envelope::from_json(changed.to_string()).unwrap();
        let refused = keys.decrypt(&changed, &aad()).await.unwrap_err();
        assert_eq!(refused, expected, "{member}");
    }
}

/// Would catch an envelope that still decrypts at its expiry, or expires too
/// early.
#[tokio::test]
async fn an_envelope_ends_at_its_time() {
    let clock = super::clock();
    let storage = initialized(&SplitMixEntropy::default()).await;
    let open = LocalKeys::open(
        storage,
        clock.clone(),
        SplitMixEntropy::default(),
        Counting::Persisted,
    );
    let keys = open.await.unwrap();
    let at = clock.wall() + Duration::from_millis(2);
    let envelope = keys.encrypt(b"x", &aad(), Some(at)).await.unwrap();
    for is_there in [true, true, false, false] {
        let decrypted = keys.decrypt(&envelope, &aad()).await;
        match is_there {
            true => assert_eq!(decrypted.unwrap().as_slice(), b"x"),
            false => assert_eq!(decrypted.unwrap_err(), DecryptError::Expired { at }),
        }
        clock.advance(Duration::from_millis(1));
    }
}

/// Would catch normalization after escaping (full-width quotes would end the
/// string), a lone surrogate that is replaced, and AAD that is not an object.
#[test]
fn canonical_aad() {
    for (json, expected) in [
        (
            r#"{ "b" : 1.0 , "a!":2, "a" : "ﬁ" }"#,
            r#"{"a!":2,"a":"fi","b":1}"#,
        ),
        (r#"{"＂":"＼","x":"\u0000"}"#, r#"{"\"":"\\","x":"\u0000"}"#),
        // e and a combining accent compose, but not across a lone surrogate.
        (
            r#"{"e\u0301":"e\ud800\u0301"}"#,
            "{\"é\":\"e\\ud800\u{301}\"}",
        ),
        (
            r#"{"\udc00":1,"\ud800":[{},[]]}"#,
            r#"{"\ud800":[{},[]],"\udc00":1}"#,
        ),
        ("{}", "{}"),
    ] {
        assert_eq!(Aad::from_json(json).unwrap().nfkc_v2(), expected);
    }
    let deep = |levels: usize| format!("{{\"a\":{}1{}}}", "[".repeat(levels), "]".repeat(levels));
    Aad::from_json(deep(127)).unwrap();
    let long = format!("{{\"a\":\"{}\"}}", "x".repeat(1 << 20));
    let refused: Vec<_> = [
        "",
        "[]",
        "1",
        "{\"a\":1e400}",
        "{\"a\":9007199254740993}",
        "{\"a\":1,\"a\":1}",
        "{\"ﬁ\":1,\"x\":2,\"fi\":3}",
        &deep(128),
        &long,
    ]
    .map(|json| Aad::from_json(json).unwrap_err().to_string())
    .into();
    insta::assert_snapshot!(refused.join("\n"));
}
