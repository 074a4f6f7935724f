//! Key management: creating, rotating, listing and counting keys, all through a
//! [`KeyStorage`].

use zeroize::Zeroizing;

use crate::{
    clock::{Clock, iso8601},
    entropy::Entropy,
};

use super::{
    KeyId, KeyStatus, KeyStorage, KeysError,
    document::{Document, Ring},
    envelope::encode,
};

/// Creates the first key.
///
/// # Errors
///
/// [`KeysError::Exists`] if the storage is not empty, and those of the storage.
pub async fn init<K: KeyStorage>(
    storage: &K,
    clock: &impl Clock,
    entropy: &impl Entropy,
) -> Result<Vec<KeyStatus>, KeysError> {
    let (at, now) = (storage.place(), iso8601(clock.wall()));
    let (kid, secret) = draw(entropy)?;
    storage
        .update(move |text| {
            if text.is_some() {
                return Err(KeysError::Exists { at });
            }
            let mut document = Document::new(&now);
            document.add_active(&kid, &secret, &now);
            let (text, ring) = render(&at, &document, 0)?;
            Ok((Some(text), statuses(&ring)))
        })
        .await
}

/// Creates a new active key and retires the others, which still decrypt.
///
/// # Errors
///
/// [`KeysError::Absent`] if there are no keys, and those of the storage.
pub async fn rotate<K: KeyStorage>(
    storage: &K,
    clock: &impl Clock,
    entropy: &impl Entropy,
) -> Result<Vec<KeyStatus>, KeysError> {
    // Before locking, which would leave a lock file where there are no keys.
    read(storage).await?;
    let (at, now) = (storage.place(), iso8601(clock.wall()));
    let (kid, secret) = draw(entropy)?;
    storage
        .update(move |text| {
            let (mut document, ring) = parse(&at, text)?;
            // The random generator repeats itself, so the key would be repeated
            // too.
            if ring.get(&kid).is_some() {
                return Err(KeysError::Entropy("it repeats itself".to_owned()));
            }
            document.add_active(&kid, &secret, &now);
            let (text, ring) = render(&at, &document, text.map_or(0, str::len))?;
            Ok((Some(text), statuses(&ring)))
        })
        .await
}

/// The metadata of the keys, the active one first.
///
/// # Errors
///
/// [`KeysError::Absent`] if there are none, and those of the storage.
pub async fn status<K: KeyStorage>(storage: &K) -> Result<Vec<KeyStatus>, KeysError> {
    read(storage).await.map(|ring| statuses(&ring))
}

/// The keys.
pub(crate) async fn read<K: KeyStorage>(storage: &K) -> Result<Ring, KeysError> {
    let text = storage.load().await?;
    let text = text.as_ref().map(|text| text.as_str());
    parse(&storage.place(), text).map(|(_, ring)| ring)
}

/// Counts up to `size` encryptions under the active key, and `left_over` fewer
/// under the key that it names. Returns the keys, and how many were counted.
pub(crate) async fn reserve<K: KeyStorage>(
    storage: &K,
    size: u64,
    left_over: Option<(KeyId, u64)>,
) -> Result<(Ring, u64), KeysError> {
    let at = storage.place();
    storage
        .update(move |text| {
            let (mut document, ring) = parse(&at, text)?;
            let mut is_changed = false;
            if let Some((kid, unused)) = left_over.filter(|(_, unused)| *unused > 0) {
                document.refund(&kid, unused);
                is_changed = true;
            }
            let granted = match ring.active() {
                Some(key) => document.charge(&key.status.kid, size),
                None => 0,
            };
            let (text, ring) = render(&at, &document, text.map_or(0, str::len))?;
            is_changed |= granted > 0;
            Ok((is_changed.then_some(text), (ring, granted)))
        })
        .await
}

/// Counts `unused` fewer encryptions under `kid`.
pub(crate) async fn refund<K: KeyStorage>(
    storage: &K,
    kid: KeyId,
    unused: u64,
) -> Result<(), KeysError> {
    let at = storage.place();
    storage
        .update(move |text| {
            let (mut document, _) = parse(&at, text)?;
            document.refund(&kid, unused);
            let (text, _) = render(&at, &document, text.map_or(0, str::len))?;
            Ok((Some(text), ()))
        })
        .await
}

fn parse(at: &str, text: Option<&str>) -> Result<(Document, Ring), KeysError> {
    let text = text.ok_or_else(|| KeysError::Absent { at: at.to_owned() })?;
    let document = Document::parse(text).map_err(|what| corrupt(at, what))?;
    let ring = document.ring().map_err(|what| corrupt(at, what))?;
    Ok((document, ring))
}

/// The text of a changed document, and its keys, parsed again.
fn render(
    at: &str,
    document: &Document,
    room: usize,
) -> Result<(Zeroizing<String>, Ring), KeysError> {
    let ring = document.ring().map_err(|what| corrupt(at, what))?;
    let text = document.text(room).map_err(|what| corrupt(at, what))?;
    Ok((text, ring))
}

fn corrupt(at: &str, what: String) -> KeysError {
    KeysError::Corrupt {
        at: at.to_owned(),
        what,
    }
}

fn statuses(ring: &Ring) -> Vec<KeyStatus> {
    ring.keys().iter().map(|key| key.status.clone()).collect()
}

/// A new key and its name: `local-` and 96 random bits.
fn draw(entropy: &impl Entropy) -> Result<(KeyId, Zeroizing<[u8; 32]>), KeysError> {
    let failed = |error: std::io::Error| KeysError::Entropy(error.to_string());
    let mut name = [0; 12];
    let mut secret = Zeroizing::new([0; 32]);
    entropy.fill(&mut name).map_err(failed)?;
    entropy.fill(&mut *secret).map_err(failed)?;
    Ok((format!("local-{}", encode(&name)).into(), secret))
}
