//! Properties over generated events, records and damage.

use crate::chain::{
    Anchors, AppendId, Event, Head, InvalidEvent, Limits, Record, StoredRecord, Verifier,
};
use proptest::prelude::*;
use serde_json::{Map, Number, Value};

use super::vectors::canonical;

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-c]{0,3}",
        "[\\u{0}-\\u{ff}]{0,6}",
        "[a\\u{d7fe}-\\u{d7ff}\\u{e000}-\\u{e001}\\u{fffe}-\\u{10001}\\u{10fffe}-\\u{10ffff}]{0,4}",
        any::<String>(),
    ]
}

/// Numbers that reading does not change.
fn number() -> impl Strategy<Value = Number> {
    let bits = any::<u64>().prop_map(f64::from_bits);
    prop_oneof![
        any::<i32>().prop_map(Number::from),
        (-9_007_199_254_740_992i64..=9_007_199_254_740_992).prop_map(Number::from),
        bits.prop_filter_map("finite", Number::from_f64),
        (-400i32..400, any::<i16>()).prop_filter_map("finite", |(exponent, digits)| {
            Number::from_f64(format!("{digits}e{exponent}").parse().ok()?)
        }),
    ]
}

fn json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        number().prop_map(Value::Number),
        text().prop_map(Value::from),
    ];
    leaf.prop_recursive(5, 60, 8, |inner| {
        let members = prop::collection::vec((text(), inner.clone()), 0..8);
        prop_oneof![
            prop::collection::vec(inner, 0..6).prop_map(Value::from),
            members.prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn event() -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((text(), json()), 0..6).prop_map(|members| members.into_iter().collect())
}

/// A spelling of a string that `serde_json` would not choose.
fn escaped(value: &str) -> String {
    value
        .encode_utf16()
        .map(|unit| format!("\\u{unit:04X}"))
        .collect()
}

fn chain(events: &[Map<String, Value>]) -> Vec<Record> {
    let mut head = Head::Empty;
    let seal = |(number, event): (usize, &Map<String, Value>)| {
        let id = AppendId::from_bytes([number as u8; 16]);
        let event = Event::from_serialize(event).unwrap();
        let record = event.seal(Some(&id), &head).unwrap();
        assert!(record.text().len() <= event.record_len());
        head = Head::At(record.position());
        record
    };
    events.iter().enumerate().map(seal).collect()
}

fn verifies<'a>(lines: impl IntoIterator<Item = &'a [u8]>) -> bool {
    let mut verifier = Verifier::new();
    for line in lines {
        verifier.line(line);
    }
    verifier.finish().is_valid()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..Default::default() })]

    /// `serde_json_canonicalizer` is another implementation of RFC 8785. It
    /// cannot represent lone surrogates, nor can `Value`.
    #[test]
    fn the_canonical_text_is_rfc_8785(value in json()) {
        let independent = serde_json_canonicalizer::to_string(&value).unwrap();
        prop_assert_eq!(canonical(&value.to_string()), independent.clone());
        prop_assert_eq!(canonical(&independent), independent);
    }

    #[test]
    fn spelling_does_not_matter(value in text(), name in text()) {
        let plain = serde_json::json!({ name.clone(): value.clone() }).to_string();
        let other = format!(" {{ \"{}\"\t:\n\"{}\" }} ", escaped(&name), escaped(&value));
        prop_assert_eq!(canonical(&plain), canonical(&other));
    }

    #[test]
    fn doubles_round_trip(bits in any::<u64>()) {
        let value = f64::from_bits(bits);
        prop_assume!(value.is_finite());
        // Not Rust's own format: if two shortest texts are equally near, it
        // does not choose ECMAScript's.
        let text = canonical(&serde_json::to_string(&value).unwrap());
        prop_assert_eq!(text.parse::<f64>().unwrap(), value);
        // The exact expansion is the same number.
        prop_assert_eq!(canonical(&format!("{value:.1080}")), text.clone());
        prop_assert_eq!(canonical(&format!("{value:.770e}")), text);
    }

    #[test]
    fn a_sealed_chain_verifies(events in prop::collection::vec(event(), 1..6)) {
        let records = chain(&events);
        prop_assert!(verifies(records.iter().map(|record| record.text().as_bytes())));
        for record in &records {
            let stored = StoredRecord::parse(record.text().as_bytes()).unwrap();
            prop_assert_eq!(stored.position, record.position());
        }
    }

    /// Would catch a change that verifies although the canonical record
    /// differs.
    #[test]
    fn changed_bytes_are_detected(
        event in event(), at in any::<prop::sample::Index>(), byte in any::<u8>(), insert in any::<bool>(),
    ) {
        let record = chain(&[event]).remove(0);
        let mut mutated = record.text().as_bytes().to_vec();
        let at = at.index(mutated.len());
        if insert { mutated.insert(at, byte) } else { mutated[at] = byte }
        if verifies([mutated.as_slice()]) {
            let mutated: Value = serde_json::from_slice(&mutated).unwrap();
            let same = serde_json_canonicalizer::to_string(&mutated).unwrap();
            prop_assert_eq!(same, record.text());
        }
    }

    /// The same for a removed or repeated range.
    #[test]
    fn cut_ranges_are_detected(event in event(), a in any::<prop::sample::Index>(), b in any::<prop::sample::Index>()) {
        let record = chain(&[event]).remove(0);
        let text = record.text().as_bytes();
        let (a, b) = (a.index(text.len()), b.index(text.len()));
        let spliced = [&text[..a], &text[b..]].concat();
        prop_assume!(spliced != text && !spliced.is_empty());
if verifies([spliced.as_slice()]) {
            let spliced: Value = serde_json::from_slice(&spliced).unwrap();
            let same = serde_json_canonicalizer::to_string(&spliced).unwrap();
            prop_assert_eq!(same, record.text());
        }
    }

    /// Would catch a panic on any input.
    #[test]
    fn any_bytes_are_read_or_refused(
        bytes in prop::collection::vec(any::<u8>(), 0..64), soup in "[\\[\\]{}\",:\\\\udDcC089eE+\\-. \\u{0}a]{0,40}",
    ) {
        for text in [bytes.as_slice(), soup.as_bytes(), format!("{{\"auditIntegrity\":{soup}}}").as_bytes()] {
            let ours = Event::from_json_slice(text, &Limits::default());
            if let Ok(event) = &ours {
                let record = event.seal(None, &Head::Empty).unwrap();
                prop_assert!(verifies([record.text().as_bytes()]));
            }
            // What an independent parser accepts is never "not JSON" here.
            if serde_json::from_slice::<Map<String, Value>>(text).is_ok() {
                let is_json = !matches!(ours, Err(InvalidEvent::NotJson { .. }));
                prop_assert!(is_json);
            }
            let _ = StoredRecord::parse(text);
            let _ = StoredRecord::parse_integrity(text);
            Verifier::new().keep_going().line(text);
            Anchors::new().read_text(text);
        }
    }
}

/// If two shortest texts of a double are equally near, serializers differ;
/// serde_json, through which values are read, agrees with ECMAScript.
#[test]
fn a_tie_between_shortest_texts_is_ecmascripts() {
    let value = f64::from_bits(4_835_613_270_675_268_009);
    assert_eq!(serde_json::to_string(&value).unwrap(), "1938617533524074.2");
    assert_eq!(canonical("1938617533524074.25"), "1938617533524074.2");
}
