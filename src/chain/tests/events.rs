//! Which texts become events, which are refused, and what `Debug` omits.

use crate::chain::{AppendId, Event, Head, InvalidEvent, Limits, Record, Verifier};

use super::vectors::canonical;

fn refused(text: &str) -> InvalidEvent {
    Event::from_json(text).unwrap_err()
}

fn seal(text: &str) -> Record {
    Event::from_json(text)
        .unwrap()
        .seal(None, &Head::Empty)
        .unwrap()
}

fn verifies(record: &str) -> bool {
    let mut verifier = Verifier::new();
    verifier.line(record.as_bytes());
    verifier.finish().is_valid()
}

#[test]
fn numbers_are_kept_or_refused() {
    for (literal, printed) in [
        ("9007199254740992", "9007199254740992"),
        ("1e20", "100000000000000000000"),
        ("123456789012345680000", "123456789012345680000"),
        ("-0", "0"),
        ("-0.0", "0"),
        ("1.0", "1"),
        (
            "0.1000000000000000055511151231257827021181583404541015625",
            "0.1",
        ),
    ] {
        assert_eq!(canonical(literal), printed);
    }
    let changes = InvalidEvent::NumberChanges { offset: 5 };
    assert_eq!(refused(r#"{"a":9007199254740993}"#), changes);
    assert_eq!(refused(r#"{"a":1e-400}"#), changes);
    assert_eq!(
        refused(r#"{"a":1e400}"#),
        InvalidEvent::NumberOverflows { offset: 5 }
    );
    // Removed members are checked too.
    assert_eq!(
        refused(r#"{"secret":[1e400]}"#),
        InvalidEvent::NumberOverflows { offset: 11 }
    );
}

#[test]
fn names_are_unique_however_spelled_and_even_when_removed() {
    let repeated = |offset| InvalidEvent::RepeatedMember { offset };
    assert_eq!(refused(r#"{"a":1,"\u0061":2}"#), repeated(7));
    assert_eq!(refused(r#"{"x":[{"secret":1,"secret":2}]}"#), repeated(18));
    assert_eq!(
        refused(r#"{"auditIntegrity":1,"auditIntegrity":2}"#),
        repeated(20)
    );
}

#[test]
fn only_objects_in_utf8_are_events() {
    for text in ["[]", "1", "null", "\"{}\"", "true"] {
        assert_eq!(refused(text), InvalidEvent::NotAnObject);
    }
    assert_eq!(refused("{} {}"), InvalidEvent::NotJson { offset: 3 });
    assert_eq!(
        Event::from_json_slice(b"{\"a\":\"\xff\"}", &Limits::default()).unwrap_err(),
        InvalidEvent::NotJson { offset: 6 }
    );
}

#[test]
fn depth_and_size_are_limited() {
    let nested = |depth: usize| {
        format!(
            "{{\"a\":{}{}}}",
            "[".repeat(depth - 1),
            "]".repeat(depth - 1)
        )
    };
    assert!(verifies(seal(&nested(128)).text()));
    assert_eq!(
        refused(&nested(129)),
        InvalidEvent::TooDeep {
            offset: 132,
            max_depth: 128
        }
    );
    // Deeper than any stack.
    assert!(matches!(
        refused(&"[".repeat(1 << 20)),
        InvalidEvent::TooDeep { .. }
    ));

    let sized = |bytes: usize| format!("{{\"a\":\"{}\"}}", "x".repeat(bytes - 8));
    assert!(verifies(seal(&sized(1 << 20)).text()));
    let too_large = InvalidEvent::TooLarge {
        bytes: (1 << 20) + 1,
        max_bytes: 1 << 20,
    };
    assert_eq!(refused(&sized((1 << 20) + 1)), too_large);
    let limits = Limits {
        max_bytes: 1 << 21,
        max_depth: 1,
    };
    assert!(Event::from_json_slice(sized((1 << 20) + 1).as_bytes(), &limits).is_ok());
    assert!(Event::from_json_slice(b"{\"a\":[]}", &limits).is_err());
}

#[test]
fn removed_members_are_absent() {
    let event = r#"{"id":1,"a":[{"prompt":"SECRET","b":{"\u0073tate":"SECRET"}},["kept",{"labels":["SECRET"]}]],
        "message":{"x":"SECRET"},"Value":"kept","values":"kept"}"#;
    let record = seal(event);
    assert!(!record.text().contains("SECRET"));
    assert_eq!(record.text().matches("kept").count(), 3);
    assert!(
        record
            .text()
            .starts_with(r#"{"Value":"kept","a":[{"b":{}},["kept",{}]],"auditIntegrity":{"#)
    );
}

#[test]
fn an_events_own_integrity_is_replaced() {
    let brought = seal(r#"{"id":1,"auditIntegrity":{"sequence":99,"eventHash":"forged"}}"#);
    assert_eq!(brought, seal(r#"{"id":1}"#));
    let inner = seal(r#"{"id":1,"inner":{"auditIntegrity":{"sequence":99}}}"#);
    assert!(
        inner
            .text()
            .contains(r#""inner":{"auditIntegrity":{"sequence":99}}"#)
    );
    assert!(verifies(inner.text()));
}

#[test]
fn lone_surrogates_are_kept() {
    let record = seal(r#"{"a":"x\uD800y","\udfff":"\ud83d\ude00\ud83d"}"#);
    assert!(
        record
            .text()
            .starts_with(r#"{"a":"x\ud800y","auditIntegrity""#)
    );
    assert!(record.text().ends_with("\"\\udfff\":\"😀\\ud83d\"}"));
    assert!(verifies(record.text()));
    assert!(verifies(
        &record
            .text()
            .replace("\\ud800", "\\uD800")
            .replace('😀', "\\uD83D\\uDE00")
    ));
    assert!(!verifies(&record.text().replace("\\ud800", "\\ud801")));
}

#[test]
fn an_append_id_is_attested() {
    let event = Event::from_json(r#"{"id":1}"#).unwrap();
    let ids = [[0; 16], [1; 16]].map(AppendId::from_bytes);
    let [a, b] = ids.map(|id| event.seal(Some(&id), &Head::Empty).unwrap());
    assert_ne!(a.position(), b.position());
    assert!(verifies(a.text()) && verifies(b.text()));
    assert!(!verifies(
        &a.text().replace(&ids[0].to_string(), &ids[1].to_string())
    ));
}

#[test]
fn values_are_read_through_serde() {
    let event = Event::from_serialize(&serde_json::json!({"n": 1.0, "secret": 1})).unwrap();
    let record = event.seal(None, &Head::Empty).unwrap();
    assert!(
        record.text().starts_with(r#"{"auditIntegrity":"#) && record.text().ends_with(r#","n":1}"#)
    );
    let large = serde_json::json!({"n": u64::MAX});
    assert_eq!(
        Event::from_serialize(&large).unwrap_err(),
        InvalidEvent::NumberChanges { offset: 5 }
    );
    let keys = std::collections::HashMap::from([([1u8, 2], 3)]);
    assert_eq!(
        Event::from_serialize(&keys).unwrap_err(),
        InvalidEvent::NotSerializable
    );
}
