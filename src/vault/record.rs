//! A token record: what is stored, as JSON, under a token's name.
//!
//! `{ type, createdAt, expiresAt, metadata, envelope, aad }`; times are
//! ISO-8601. Metadata and aad keep the text in which they were written.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::token::Stored;
use crate::clock::parse_iso8601;

/// A token record, read from its stored text.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct TokenRecord {
    #[serde(rename = "type")]
    pub(super) token_type: String,
    pub(super) created_at: String,
    pub(super) expires_at: String,
    pub(super) metadata: Box<RawValue>,
    pub(super) envelope: Box<RawValue>,
    pub(super) aad: Box<RawValue>,
}

impl TokenRecord {
    /// The record in `stored`, or what is wrong with it, without its content.
    pub(super) fn parse(stored: &Stored) -> Result<Self, String> {
        let record: Self = serde_json::from_slice(stored.bytes()).map_err(|error| {
            format!(
                "{} at line {} column {}",
                match error.classify() {
                    serde_json::error::Category::Data =>
                        "a member of a token record is absent or of another type",
                    _ => "not JSON",
                },
                error.line(),
                error.column()
            )
        })?;
        let is_object = |value: &RawValue| value.get().starts_with('{');
        if !is_object(&record.envelope) || !is_object(&record.aad) {
            return Err("envelope or aad is not an object".to_owned());
        }
        if parse_iso8601(&record.expires_at).is_none() {
            return Err("expiresAt is not a time".to_owned());
        }
        Ok(record)
    }

    pub(super) fn stored(&self) -> Stored {
        // Text and raw JSON always serialize.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// When it expires, in whole milliseconds.
    pub(super) fn expires(&self) -> SystemTime {
        parse_iso8601(&self.expires_at).unwrap_or(UNIX_EPOCH)
    }

    /// Whether it has expired by `now`.
    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires() <= now
    }
}

/// When the stored token expires; `None` if it has no expiry.
pub(super) fn expires_at(stored: &[u8]) -> Option<SystemTime> {
    #[derive(Deserialize)]
    struct Expiry<'a> {
        #[serde(rename = "expiresAt", borrow)]
        expires_at: std::borrow::Cow<'a, str>,
    }
    let expiry: Expiry<'_> = serde_json::from_slice(stored).ok()?;
    parse_iso8601(&expiry.expires_at)
}
