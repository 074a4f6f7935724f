//! Chains, intact and damaged: the verifier never panics, and accepts only what
//! is canonically equal to what was sealed.

use arbitrary::Unstructured;
use haechi_store_redis::chain::{
    Anchor, Anchors, AppendId, Event, Head, Record, StoredRecord, Verifier,
};

/// One run on `data`.
pub fn chain_verify(data: &[u8]) {
    let mut verifier = Verifier::new().keep_going();
    for line in data.split(|byte| *byte == b'\n') {
        let _ = verifier.line(line);
        let _ = StoredRecord::parse(line);
    }
    let _ = verifier.finish();

    let mut data = Unstructured::new(data);
    let records = chain(&mut data);
    let mut text: Vec<u8> = records
        .iter()
        .flat_map(|record| [record.text().as_bytes(), b"\n"].concat())
        .collect();
    assert!(verifies(&text, &records), "a sealed chain does not verify");
    for _ in 0..data.int_in_range(1..=3).unwrap_or(1) {
        damage(&mut text, &mut data);
    }
    if verifies(&text, &records) {
        let lines = text.split(|byte| *byte == b'\n').filter_map(canonical);
        let sealed = records.iter().map(|record| record.text().to_owned());
        assert!(lines.eq(sealed), "damage was not noticed");
    }
}

/// A line's canonical form by another implementation; none for a blank one.
fn canonical(line: &[u8]) -> Option<String> {
    // As JavaScript's trim() sees it: with the vertical tab.
    let is_space = |byte: &u8| byte.is_ascii_whitespace() || *byte == 0x0b;
    if line.iter().all(is_space) {
        return None;
    }
    let value: serde_json::Value = serde_json::from_slice(line).expect("verified, yet no JSON");
    Some(serde_json_canonicalizer::to_string(&value).expect("verified, yet not canonical"))
}

fn verifies(text: &[u8], records: &[Record]) -> bool {
    // Without an anchor, truncation cannot be detected.
    let mut anchors = Anchors::new();
    if let Some(record) = records.last() {
        anchors.insert(&Anchor {
            sequence: record.position().sequence,
            event_hash: record.position().event_hash,
            timestamp: String::new(),
        });
    }
    let mut verifier = Verifier::new().with_anchors(anchors);
    for line in text.split(|byte| *byte == b'\n') {
        verifier.line(line);
    }
    verifier.finish().is_valid()
}

fn chain(data: &mut Unstructured<'_>) -> Vec<Record> {
    let mut head = Head::Empty;
    let mut records = Vec::new();
    for number in 0..data.int_in_range(1..=3).unwrap_or(1_u8) {
        let event = event(data);
        let id = AppendId::from_bytes([number; 16]);
        let record = event.seal(Some(&id), &head).expect("far from the end");
        head = Head::At(record.position());
        records.push(record);
    }
    records
}

/// An event from bytes, or with members made of them.
fn event(data: &mut Unstructured<'_>) -> Event {
    let length = data.int_in_range(0..=64).unwrap_or(0);
    let bytes = data
        .bytes(length.min(data.len()))
        .unwrap_or_default()
        .to_vec();
    if let Ok(event) = Event::from_json_slice(&bytes, &Default::default()) {
        return event;
    }
    let text = String::from_utf8_lossy(&bytes);
    let number = bytes
        .first()
        .copied()
        .map_or(0.0, |byte| f64::from(byte) / 7.0);
    let half = text.chars().count() / 2;
    let name: String = text.chars().take(half).collect();
    let value: String = text.chars().skip(half).collect();
    let members = serde_json::json!({ format!("m{name}"): [value, number, null, true] });
    Event::from_serialize(&members).expect("an object of strings and numbers")
}

fn damage(text: &mut Vec<u8>, data: &mut Unstructured<'_>) {
    if text.is_empty() {
        return;
    }
    let last = text.len() - 1;
    let (from, to) = (
        data.int_in_range(0..=last).unwrap_or(0),
        data.int_in_range(0..=last).unwrap_or(0),
    );
    let byte: u8 = data.arbitrary().unwrap_or_default();
    let (low, high) = (from.min(to), from.max(to));
    match data.int_in_range(0..=5_u8).unwrap_or(0) {
        0 => text[from] = byte,
        1 => text[from] ^= 1 << (byte % 8),
        2 => text.insert(from, byte),
        3 => drop(text.drain(low..high)),
        4 => {
            let stretch = text[low..high].to_vec();
            text.splice(from..from, stretch);
        }
        _ => {
            let mut lines: Vec<_> = text
                .split(|byte| *byte == b'\n')
                .map(<[u8]>::to_vec)
                .collect();
            let count = lines.len();
            lines.swap(from % count, to % count);
            *text = lines.join(&b'\n');
        }
    }
}
