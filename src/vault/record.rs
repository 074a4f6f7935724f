//! A token record: what is stored, as JSON, under a token's name.
//!
//! `{ type, createdAt, expiresAt, metadata, envelope, aad }`; times are
//! ISO-8601. Metadata and aad keep the text in which they were written.

use std::time::{SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{clocks::Ends, token::Stored};
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

/// What a record's aad says about it. Other members are bound to the envelope too,
/// and not looked at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AadFields {
    /// The token for which the envelope was made.
    #[serde(default)]
    pub(super) token: Option<String>,
    /// When the envelope expires: only in records that this store made.
    #[serde(default)]
    pub(super) expires_at: Option<String>,
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

    /// What the aad says.
    pub(super) fn aad_fields(&self) -> AadFields {
        serde_json::from_str(self.aad.get()).unwrap_or(AadFields {
            token: None,
            expires_at: None,
        })
    }

    /// The end that the record itself states.
    pub(super) fn end(&self) -> Ends {
        let end = parse_iso8601(&self.expires_at).unwrap_or(UNIX_EPOCH);
        Ends {
            first: end,
            last: end,
        }
    }

    /// The ends of the record, of its envelope and of its aad. Those that are no
    /// time do not count: the envelope does not open.
    pub(super) fn ends(&self) -> Ends {
        #[derive(Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Envelope {
            #[serde(default)]
            expires_at: Option<String>,
        }
        let envelope = serde_json::from_str::<Envelope>(self.envelope.get()).ok();
        let others = [
            envelope.and_then(|envelope| envelope.expires_at),
            self.aad_fields().expires_at,
        ];
        let others = others.into_iter().flatten();
        others
            .filter_map(|end| parse_iso8601(&end))
            .fold(self.end(), |ends, end| Ends {
                first: ends.first.min(end),
                last: ends.last.max(end),
            })
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
