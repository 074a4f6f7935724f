//! The text of the key file: parsing and changing it. Members that this version
//! does not know survive every change.

use std::fmt;

use serde_json::{Map, Value, json};
use zeroize::{Zeroize as _, Zeroizing};

use crate::sync::Arc;

use super::{
    KeyId,
    cipher::SecretKey,
    envelope::{decode, encode},
};

/// The encryptions that a key with random vectors may make: NIST SP 800-38D,
/// section 8.3.
pub(crate) const LIMIT: u64 = 1 << 32;
/// The only cipher.
pub(crate) const ALG: &str = "AES-256-GCM";

/// The use of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// It encrypts and decrypts.
    Active,
    /// It only decrypts.
    Retired,
}

impl Status {
    /// The text in the key file.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// The public metadata of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// Its name.
    pub kid: KeyId,
    /// Its use.
    pub status: Status,
    /// When it was created, ISO-8601; `None` if absent.
    pub created_at: Option<String>,
    /// An upper bound for its encryptions so far: windows held by processes are
    /// counted in full until the rest is returned.
    pub used: u64,
    /// Encryptions that it may make: 2^32.
    pub limit: u64,
}

impl KeyStatus {
    /// Whether half its encryptions are used: time to rotate.
    #[must_use]
    pub fn is_worn(&self) -> bool {
        self.used >= self.limit / 2
    }
}

/// A key and its metadata.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) status: KeyStatus,
    pub(crate) secret: SecretKey,
}

/// The keys of a file, the active one first, then in the file's order: a
/// rotation inserts its key at the front.
#[derive(Debug)]
pub(crate) struct Ring(Vec<Arc<Key>>);

impl Ring {
    pub(crate) fn keys(&self) -> &[Arc<Key>] {
        &self.0
    }

    pub(crate) fn active(&self) -> Option<&Arc<Key>> {
        self.0
            .first()
            .filter(|key| key.status.status == Status::Active)
    }

    pub(crate) fn get(&self, kid: &KeyId) -> Option<&Arc<Key>> {
        self.0.iter().find(|key| key.status.kid == *kid)
    }
}

/// What is wrong with a text, without its content.
pub(crate) type Defect = String;

/// A key file's text, parsed. Its strings are wiped when it is dropped.
pub(crate) struct Document(Value);

impl Document {
    /// A file without keys.
    pub(crate) fn new(created_at: &str) -> Self {
        Self(json!({ "version": 1, "createdAt": created_at, "keys": [] }))
    }

    pub(crate) fn parse(text: &str) -> Result<Self, Defect> {
        // The parser's messages may repeat content.
        let value = serde_json::from_str(text).map_err(|error| {
            let (line, column) = (error.line(), error.column());
            format!("it is not JSON from line {line}, column {column} on")
        })?;
        let document = Self(value);
        if !document.0.is_object() {
            return Err("it is not a JSON object".to_owned());
        }
        match &document.0["version"] {
            Value::Number(version) if version.as_u64() == Some(1) => {}
            Value::Null => return Err("`version` is absent".to_owned()),
            _ => return Err("its `version` is not 1, the only one known here".to_owned()),
        }
        if !document.0["keys"].is_array() {
            return Err("`keys` is absent or no array".to_owned());
        }
        Ok(document)
    }

    pub(crate) fn ring(&self) -> Result<Ring, Defect> {
        let mut keys: Vec<Arc<Key>> = Vec::new();
        for (index, entry) in self.entries().iter().enumerate() {
            let key = read_key(entry).map_err(|what| format!("key {}: {what}", index + 1))?;
            if keys.iter().any(|other| other.status.kid == key.status.kid) {
                return Err(format!("key {}: its `kid` is another's", index + 1));
            }
            keys.push(Arc::new(key));
        }
        if keys.is_empty() {
            return Err("it holds no keys".to_owned());
        }
        // With several active keys, the first one would encrypt.
        let is_active = |key: &Arc<Key>| key.status.status == Status::Active;
        if let Some(active) = keys.iter().position(is_active) {
            keys[..=active].rotate_right(1);
        }
        Ok(Ring(keys))
    }

    /// The file's text, one member a line.
    pub(crate) fn text(&self, room_for: usize) -> Result<Zeroizing<String>, Defect> {
        // Room for added indentation: a buffer that grows leaves a copy of the
        // keys behind.
        let room = room_for.saturating_mul(2).saturating_add(4096);
        let mut text = Zeroizing::new(Vec::with_capacity(room));
        let written = serde_json::to_writer_pretty(&mut *text, &self.0);
        text.push(b'\n');
        // Neither fails; if one did, an empty file would replace the keys.
        match (written, String::from_utf8(std::mem::take(&mut *text))) {
            (Ok(()), Ok(text)) => Ok(Zeroizing::new(text)),
            _ => Err("it could not be written as JSON".to_owned()),
        }
    }

    /// Retires all keys, and inserts an active one at the front.
    pub(crate) fn add_active(&mut self, kid: &KeyId, secret: &[u8; 32], created_at: &str) {
        let Some(entries) = self.entries_mut() else {
            return;
        };
        for entry in entries.iter_mut().filter_map(Value::as_object_mut) {
            if let Some(status) = entry.get_mut("status")
                && *status == Status::Active.as_str()
            {
                *status = Status::Retired.as_str().into();
            }
        }
        let entry = json!({
            "kid": kid.as_str(),
            "kty": "oct",
            "alg": ALG,
            "status": "active",
            "createdAt": created_at,
            "k": encode(secret),
        });
        entries.insert(0, entry);
    }

    /// Counts up to `wanted` more encryptions under `kid`; returns how many
    /// fit.
    pub(crate) fn charge(&mut self, kid: &KeyId, wanted: u64) -> u64 {
        let Some(entry) = self.entry_mut(kid) else {
            return 0;
        };
        let used = usage(entry).unwrap_or(LIMIT);
        let granted = wanted.min(LIMIT.saturating_sub(used));
        entry.insert("usage".to_owned(), (used + granted).into());
        granted
    }

    /// Counts `unused` fewer encryptions under `kid`.
    pub(crate) fn refund(&mut self, kid: &KeyId, unused: u64) {
        if let Some(entry) = self.entry_mut(kid) {
            let used = usage(entry).unwrap_or(LIMIT);
            entry.insert("usage".to_owned(), used.saturating_sub(unused).into());
        }
    }

    fn entries(&self) -> &[Value] {
        self.0["keys"].as_array().map_or(&[], Vec::as_slice)
    }

    fn entries_mut(&mut self) -> Option<&mut Vec<Value>> {
        self.0.get_mut("keys").and_then(Value::as_array_mut)
    }

    fn entry_mut(&mut self, kid: &KeyId) -> Option<&mut Map<String, Value>> {
        self.entries_mut()?
            .iter_mut()
            .filter_map(Value::as_object_mut)
            .find(|entry| entry.get("kid").and_then(Value::as_str) == Some(kid.as_str()))
    }
}

impl Drop for Document {
    fn drop(&mut self) {
        wipe(&mut self.0);
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Document({} keys, …)", self.entries().len())
    }
}

/// The nesting is limited by the parser, to 128.
fn wipe(value: &mut Value) {
    match value {
        Value::String(text) => text.zeroize(),
        Value::Array(values) => values.iter_mut().for_each(wipe),
        Value::Object(members) => members.values_mut().for_each(wipe),
        _ => {}
    }
}

fn read_key(entry: &Value) -> Result<Key, Defect> {
    let Value::Object(entry) = entry else {
        return Err("it is no object".to_owned());
    };
    let string = |name: &str| entry.get(name).and_then(Value::as_str);
    let kid = string("kid").filter(|kid| !kid.is_empty());
    let status = match string("status") {
        Some("active") => Status::Active,
        Some("retired") => Status::Retired,
        _ => return Err("its `status` is neither active nor retired".to_owned()),
    };
    for (name, only) in [("kty", "oct"), ("alg", ALG)] {
        if string(name) != Some(only) {
            return Err(format!(
                "its `{name}` is not {only}, the only one known here"
            ));
        }
    }
    let bytes = Zeroizing::new(string("k").and_then(decode).unwrap_or_default());
    let mut secret = Zeroizing::new([0; 32]);
    if bytes.len() != secret.len() {
        return Err("its `k` is not 32 bytes in base64url without padding".to_owned());
    }
    secret.copy_from_slice(&bytes);
    Ok(Key {
        status: KeyStatus {
            kid: kid.ok_or("its `kid` is absent or empty")?.into(),
            status,
            created_at: string("createdAt").map(str::to_owned),
            used: usage(entry).ok_or("its `usage` is no count")?,
            limit: LIMIT,
        },
        secret: SecretKey::new(secret),
    })
}

/// The encryptions counted under a key; `None` if it is not a count.
fn usage(entry: &Map<String, Value>) -> Option<u64> {
    match entry.get("usage") {
        None => Some(0),
        Some(usage) => usage.as_u64(),
    }
}
