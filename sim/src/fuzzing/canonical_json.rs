//! Canonical JSON against another implementation of RFC 8785.

use haechi_store_redis::chain::{Event, Head, InvalidEvent};
use serde_json::Value;

/// One run on `data`.
pub fn canonical_json(data: &[u8]) {
    let accepted = Event::from_json_slice(data, &Default::default());
    let other: Result<Value, _> = serde_json::from_slice(data);
    match (accepted, other) {
        (Ok(event), other) => {
            let record = event.seal(None, &Head::Empty).expect("far from the end");
            let text = record.text();
            // The other implementation rejects only lone surrogates.
            if let Ok(value) = serde_json::from_str::<Value>(text) {
                assert!(other.is_ok(), "accepted invalid JSON");
                let canonical = serde_json_canonicalizer::to_string(&value);
                assert_eq!(canonical.expect("it was read"), text);
            } else {
                assert!(text.contains("\\ud"), "unreadable: {text}");
            }
            let again = Event::from_json(text).expect("what was written can be read");
            let again = again.seal(None, &Head::Empty).expect("far from the end");
            assert_eq!(again.text(), text, "a canonical text changed");
        }
        (Err(InvalidEvent::NotJson { .. }), Ok(value)) => {
            // Must not happen for text that serde_json accepts.
            panic!("refused as invalid JSON: {value}")
        }
        (Err(_), _) => {}
    }
}
