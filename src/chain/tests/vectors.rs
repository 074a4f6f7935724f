//! Golden data from the reference implementation.

use crate::chain::{Anchors, Event, EventHash, Head, Reason, StoredRecord, Verdict, Verifier};
use serde_json::Value;
use sha2::{Digest as _, Sha256};

const CANONICAL: &str = include_str!("../../../tests/vectors/canonical.json");
const CHAIN: &str = include_str!("../../../tests/vectors/chain.json");
const VERDICTS: &str = include_str!("../../../tests/vectors/verdicts.json");

fn parse(vectors: &str) -> Vec<Value> {
    serde_json::from_str(vectors).unwrap()
}

/// The canonical text of any value, as a member of a sealed record.
pub(crate) fn canonical(json: &str) -> String {
    let event = Event::from_json(&format!("{{\"a\":{json}}}")).unwrap();
    let record = event.seal(None, &Head::Empty).unwrap();
    let end = record.text().rfind(",\"auditIntegrity\":").unwrap();
    record.text()["{\"a\":".len()..end].to_owned()
}

#[test]
fn canonical_texts() {
    let vectors = parse(CANONICAL);
    assert_eq!(vectors.len(), 300);
    for vector in &vectors {
        let (json, stable) = (
            vector["json"].as_str().unwrap(),
            vector["stable_v1"].as_str().unwrap(),
        );
        // Only verification keeps every member: what it hashes is compared
        // through the hash of a record around the value.
        let hashed = format!(r#"{{"a":{stable},"auditIntegrity":{{"sequence":1}}}}"#);
        let hash = EventHash::from_bytes(Sha256::digest(hashed).into());
        let stored =
            format!(r#"{{"auditIntegrity":{{"sequence":1,"eventHash":"{hash}"}},"a":{json}}}"#);
        assert_eq!(Verifier::new().line(stored.as_bytes()), [], "{json}");
        // A scalar is also in the sealed text.
        if !json.starts_with('{') && !json.starts_with('[') {
            assert_eq!(canonical(json), stable, "{json}");
        }
    }
}

#[test]
fn sealed_chains_have_the_reference_hashes() {
    let vectors = parse(CHAIN);
    assert_eq!(vectors.len(), 200);
    let mut head = Head::Empty;
    let mut ours = Verifier::new();
    let mut theirs = Verifier::new();
    for vector in &vectors {
        let stored = vector["stored"].as_str().unwrap();
        let event = Event::from_json(vector["event"].as_str().unwrap()).unwrap();
        let record = event.seal(None, &head).unwrap();
        let hash = EventHash::parse(vector["eventHash"].as_str().unwrap()).unwrap();
        assert_eq!(record.position().event_hash, hash);
        assert_eq!(json(record.text()), json(stored));
        assert!(record.text().len() <= event.record_len());

        let read = StoredRecord::parse(stored.as_bytes()).unwrap();
        assert_eq!(read.position, record.position());
        assert_eq!(read.previous, head.event_hash());
        assert_eq!(StoredRecord::parse(record.text().as_bytes()), Ok(read));
        assert_eq!(
            StoredRecord::parse_integrity(record.integrity().as_bytes()),
            Ok(read)
        );

        assert_eq!(ours.line(record.text().as_bytes()), []);
        assert_eq!(theirs.line(stored.as_bytes()), []);
        head = Head::At(record.position());
    }
    assert_eq!(ours.finish(), theirs.finish());
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn verify(vector: &Value) -> Verdict {
    let mut verifier = Verifier::new();
    if let Some(lines) = vector["anchors"].as_array() {
        let mut anchors = Anchors::new();
        for line in lines {
            anchors.read_line(line.as_str().unwrap().as_bytes());
        }
        verifier = verifier.with_anchors(anchors);
    }
    for line in vector["lines"].as_array().unwrap() {
        verifier.line(line.as_str().unwrap().as_bytes());
    }
    verifier.finish()
}

#[test]
fn verdicts() {
    let vectors = parse(VERDICTS);
    assert_eq!(vectors.len(), 18);
    for vector in &vectors {
        let (name, expect) = (&vector["name"], &vector["expect"]);
        let verdict = verify(vector);
        assert_eq!(
            verdict.is_valid(),
            expect["valid"].as_bool().unwrap(),
            "{name}"
        );
        if expect["threw"] == true {
            let fault = verdict.fault.unwrap();
            assert!(
                matches!(fault.reason, Reason::Invalid(_)),
                "{name}: {fault}"
            );
            assert_eq!(fault.line, Some(verdict.lines));
            continue;
        }
        assert_eq!(Value::from(verdict.records), expect["records"], "{name}");
        match verdict.fault {
            Some(fault) => assert_eq!(fault.reason.to_string(), expect["reason"], "{name}"),
            None => {
                let hash = verdict.head.event_hash().map(|hash| hash.to_text());
                assert_eq!(Value::from(hash), expect["headHash"], "{name}");
                let anchored = verdict.anchored.map(|anchored| {
                    serde_json::json!({
                        "count": anchored.count,
                        "lastSequence": anchored.last_sequence.map(|last| last.get()),
                    })
                });
                assert_eq!(anchored.unwrap_or_default(), expect["anchored"], "{name}");
            }
        }
        if name == "anchored_partial_line" {
            assert_eq!(verdict.torn_anchors, 1);
        }
    }
}
