//! The envelope: a ciphertext and everything that decrypting needs except the
//! key. Validating its members is up to the provider.

use std::{fmt, time::SystemTime};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{
    Deserialize, Deserializer, Serialize, Serializer, de::Error as _, ser::SerializeMap as _,
};
use serde_json::{Map, Value};

use super::KeyId;
use crate::clock::parse_iso8601;

/// A ciphertext with its key's name, vector, tag and times.
///
/// Its JSON is `{"v":2,"alg","kid","iv","ct","tag","aadHash","aadEncoding",
/// "createdAt","expiresAt"?}`, binary members in base64url without padding.
/// Further members are kept and written after these. Reading checks the JSON
/// types of members; decrypting checks their values.
#[derive(Clone, PartialEq, Eq)]
pub struct Envelope {
    /// 2; 1 or absent for the oldest.
    pub version: Option<u64>,
    /// The cipher, such as `AES-256-GCM`.
    pub alg: String,
    /// The key's name.
    pub kid: KeyId,
    /// The initialization vector, base64url.
    pub iv: String,
    /// The ciphertext, base64url.
    pub ct: String,
    /// The authentication tag, base64url.
    pub tag: String,
    /// SHA-256 of the AAD's canonical text, base64url.
    pub aad_hash: String,
    /// Which canonical text: `nfkc-json-v2`; absent for the oldest.
    pub aad_encoding: Option<String>,
    /// When it was created, ISO-8601 in UTC.
    pub created_at: Option<String>,
    /// When it expires, ISO-8601 in UTC.
    pub expires_at: Option<String>,
    /// Members of other names, such as a KMS's wrapped data key.
    pub other: Map<String, Value>,
}

impl Envelope {
    /// Reads an envelope from JSON in UTF-8.
    ///
    /// # Errors
    ///
    /// When it is not an object, or a member is absent or of another JSON type.
    pub fn from_json(json: impl AsRef<[u8]>) -> Result<Self, InvalidEnvelope> {
        let value = serde_json::from_slice(json.as_ref()).map_err(|_| InvalidEnvelope::NotJson)?;
        Self::from_value(value)
    }

    /// Reads an envelope from a JSON value.
    ///
    /// # Errors
    ///
    /// As [`Envelope::from_json`].
    pub fn from_value(value: Value) -> Result<Self, InvalidEnvelope> {
        let Value::Object(mut map) = value else {
            return Err(InvalidEnvelope::NotJson);
        };
        let mut optional = |name| match map.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(InvalidEnvelope::Member(name)),
        };
        let aad_encoding = optional("aadEncoding")?;
        let created_at = optional("createdAt")?;
        let expires_at = optional("expiresAt")?;
        let mut string = |name| optional(name)?.ok_or(InvalidEnvelope::Member(name));
        Ok(Self {
            alg: string("alg")?,
            kid: string("kid")?.into(),
            iv: string("iv")?,
            ct: string("ct")?,
            tag: string("tag")?,
            aad_hash: string("aadHash")?,
            aad_encoding,
            created_at,
            expires_at,
            version: match map.remove("v") {
                None => None,
                Some(version) => Some(version.as_u64().ok_or(InvalidEnvelope::Member("v"))?),
            },
            other: map,
        })
    }

    /// The envelope as JSON, without white space.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Maps with string keys always serialize.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The name of the key that it was encrypted with.
    #[must_use]
    pub fn kid(&self) -> &KeyId {
        &self.kid
    }

    /// When it expires; `None` if never. Times before the epoch are the epoch.
    ///
    /// # Errors
    ///
    /// When the member is not a time; then it does not decrypt either.
    pub fn expires_at(&self) -> Result<Option<SystemTime>, UnreadableTime> {
        let text = self.expires_at.as_deref();
        text.map(|text| parse_iso8601(text).ok_or(UnreadableTime))
            .transpose()
    }
}

/// The ciphertext is long, and useless in logs.
impl fmt::Debug for Envelope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Envelope")
            .field("version", &self.version)
            .field("alg", &self.alg)
            .field("kid", &self.kid)
            .field("ct", &format_args!("{} characters", self.ct.len()))
            .field("created_at", &self.created_at)
            .field("expires_at", &self.expires_at)
            .finish_non_exhaustive()
    }
}

impl Serialize for Envelope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(version) = self.version {
            map.serialize_entry("v", &version)?;
        }
        for (name, text) in [
            ("alg", Some(self.alg.as_str())),
            ("kid", Some(self.kid.as_str())),
            ("iv", Some(&self.iv)),
            ("ct", Some(&self.ct)),
            ("tag", Some(&self.tag)),
            ("aadHash", Some(&self.aad_hash)),
            ("aadEncoding", self.aad_encoding.as_deref()),
            ("createdAt", self.created_at.as_deref()),
            ("expiresAt", self.expires_at.as_deref()),
        ] {
            if let Some(text) = text {
                map.serialize_entry(name, text)?;
            }
        }
        for (name, value) in &self.other {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Envelope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_value(Value::deserialize(deserializer)?).map_err(D::Error::custom)
    }
}

/// Why a text is not an envelope. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidEnvelope {
    /// Not a JSON object.
    #[error("the envelope is not a JSON object; restore it from a copy")]
    NotJson,
    /// A member is absent, or of another JSON type.
    #[error("the envelope's `{0}` is absent or of another type; restore it from a copy")]
    Member(&'static str),
}

/// An `expiresAt` that is not an ISO-8601 time with an offset from UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the envelope's `expiresAt` is not a time; it does not decrypt. Restore it from a copy")]
pub struct UnreadableTime;

/// Bytes in the encoding of envelopes and key files.
pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The bytes of a base64url text, if it is their canonical encoding.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}
