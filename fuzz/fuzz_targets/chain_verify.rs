//! Whatever stands on two lines, a verifier neither panics nor accepts what
//! it was not sealed as.
#![no_main]

use haechi_store_redis::chain::{Event, Head, StoredRecord, Verifier};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let mut verifier = Verifier::new().keep_going();
    for line in data.split(|byte| *byte == b'\n') {
        let _ = verifier.line(line);
        let _ = StoredRecord::parse(line);
    }
    let _ = verifier.finish();

    // What is accepted as an event verifies once it is sealed, and no longer
    // once its sequence is another.
    let Ok(event) = Event::from_json_slice(data, &Default::default()) else {
        return;
    };
    let Ok(record) = event.seal(None, &Head::Empty) else {
        return;
    };
    let mut verifier = Verifier::new();
    assert_eq!(verifier.line(record.text().as_bytes()), []);
    assert!(verifier.finish().is_valid());
    let moved = record.text().replace("\"sequence\":1}", "\"sequence\":2}");
    let mut verifier = Verifier::new();
    assert_ne!(verifier.line(moved.as_bytes()), []);
});
