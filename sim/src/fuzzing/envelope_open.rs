//! Arbitrary envelopes: opening one neither panics nor returns anything but the
//! sealed plaintext.

use std::sync::OnceLock;

use arbitrary::Unstructured;
use haechi_store_redis::crypto::{
    Aad, Counting as Counts, CryptoProvider, Envelope, LocalKeys, MemoryKeys, manage,
};

use super::in_process::{AutoClock, Counting, block_on};

type Keys = LocalKeys<MemoryKeys, AutoClock, Counting>;

const PLAINTEXT: &[u8] = b"anna@example.com";
const AAD: &str = r#"{"purpose":"token-vault","token":"t","type":"email","context":{}}"#;

/// Keys, and an envelope encrypted with them.
fn sealed() -> &'static (Keys, String) {
    static SEALED: OnceLock<(Keys, String)> = OnceLock::new();
    SEALED.get_or_init(|| {
        block_on(async {
            let (storage, clock, entropy) =
                (MemoryKeys::new(), AutoClock::default(), Counting::default());
            let made = manage::init(&storage, &clock, &entropy).await;
            made.expect("memory does not fail");
            let keys = LocalKeys::open(storage, clock, entropy, Counts::Persisted).await;
            let keys = keys.expect("they were just made");
            let aad = Aad::from_json(AAD).expect("an object");
            let envelope = keys.encrypt(PLAINTEXT, &aad, None).await;
            let envelope = envelope.expect("the key is not exhausted");
            (keys, envelope.to_json())
        })
    })
}

/// One run on `data`.
pub fn envelope_open(data: &[u8]) {
    let (keys, envelope) = sealed();
    let aad = Aad::from_json(AAD).expect("an object");
    // The bytes as AAD, and as an envelope.
    if let Ok(text) = std::str::from_utf8(data)
        && let Ok(other) = Aad::from_json(text)
    {
        let whole = Envelope::from_json(envelope).expect("it was written by this");
        if let Ok(opened) = block_on(keys.decrypt(&whole, &other)) {
            assert_eq!(&opened[..], PLAINTEXT);
        }
    }
    open(keys, &aad, data);

    // A valid envelope with some bytes changed.
    let mut damaged = envelope.clone().into_bytes();
    let mut data = Unstructured::new(data);
    for _ in 0..data.int_in_range(1..=3).unwrap_or(1) {
        let at = data.choose_index(damaged.len()).unwrap_or(0);
        match data.int_in_range(0..=2_u8).unwrap_or(0) {
            0 => damaged[at] = data.arbitrary().unwrap_or(b'A'),
            1 => drop(damaged.remove(at)),
            _ => damaged.insert(at, data.arbitrary().unwrap_or(b'A')),
        }
    }
    open(keys, &aad, &damaged);
}

fn open(keys: &Keys, aad: &Aad, text: &[u8]) {
    let Ok(envelope) = Envelope::from_json(text) else {
        return;
    };
    if let Ok(opened) = block_on(keys.decrypt(&envelope, aad)) {
        assert_eq!(&opened[..], PLAINTEXT, "it opened to something else");
    }
    let again = Envelope::from_json(envelope.to_json()).expect("what was written can be read");
    assert_eq!(again.to_json(), envelope.to_json());
}
