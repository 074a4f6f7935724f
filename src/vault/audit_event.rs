//! The audit events of the vault: what was requested and what was decided,
//! without plaintext.

use serde::Serialize;

use super::{
    identity::Identity,
    policy::RevealPolicy,
    token::{TokenType, has_token_form},
};
use crate::{
    chain::{Event, InvalidEvent},
    clock::{Clock, iso8601},
    crypto::CryptoProvider,
    entropy::Entropy,
};

/// The HMAC domain of codes for arguments that are not tokens.
const AUDIT_ID_DOMAIN: &str = "haechi:token-vault:audit-id:v1";

/// The requested operation.
#[derive(Clone, Copy, Debug)]
pub(super) enum Operation {
    Reveal,
    Detokenize,
    Purge,
    PurgeExpired,
}

impl Operation {
    fn name(self) -> &'static str {
        match self {
            Self::Reveal => "token-vault:reveal",
            Self::Detokenize => "token-vault:detokenize",
            Self::Purge => "token-vault:purge",
            Self::PurgeExpired => "token-vault:purge-expired",
        }
    }
}

/// One decision.
#[derive(Clone, Debug)]
pub(super) struct Decision {
    /// The event's id.
    pub(super) id: String,
    pub(super) identity: Option<Identity>,
    pub(super) operation: Operation,
    /// `reveal_allowed` and the like.
    pub(super) decision: &'static str,
    pub(super) reason: Option<String>,
    /// Made by [`audit_id`].
    pub(super) token: Option<String>,
    pub(super) token_type: Option<String>,
    pub(super) count: Option<u64>,
    /// Made by [`audit_id`], at most [`NAMED`]; `None` if the operation is of one
    /// token.
    pub(super) tokens: Option<Vec<String>>,
    /// The id of the event that said beforehand what this one corrects.
    pub(super) intent: Option<String>,
}

/// How many tokens one event names.
pub(super) const NAMED: usize = 1000;

/// Why what an event said beforehand is not, or need not be, so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Undone {
    /// There was no such token.
    Absent,
    /// It was not done and will not be.
    NotApplied,
    /// It may have been done.
    OutcomeUnknown,
}

impl Undone {
    fn reason(self) -> &'static str {
        match self {
            Self::Absent => "absent",
            Self::NotApplied => "not_applied",
            Self::OutcomeUnknown => "outcome_unknown",
        }
    }
}

/// The name in audit events of what a caller passed as a token: itself if it
/// has a token's form, otherwise an HMAC, since it may be a plaintext passed by
/// mistake. `None` if the provider is unavailable.
pub(super) async fn audit_id<P: CryptoProvider>(crypto: &P, token: &str) -> Option<String> {
    if has_token_form(token) {
        return Some(token.to_owned());
    }
    let codes = crypto.hmacs(token.as_bytes(), AUDIT_ID_DOMAIN).await.ok()?;
    let code = codes.first()?.hex();
    Some(format!("nontoken_{}", code.get(..32)?))
}

impl Decision {
    /// A decision with an id of its own, about nothing yet.
    pub(super) fn new(
        operation: Operation,
        decision: &'static str,
        entropy: &impl Entropy,
    ) -> Self {
        Self {
            id: uuid(entropy),
            identity: None,
            operation,
            decision,
            reason: None,
            token: None,
            token_type: None,
            count: None,
            tokens: None,
            intent: None,
        }
    }

    /// The event that follows if `undone` holds for these tokens of this one, all of
    /// them for `None`.
    pub(super) fn undone(
        &self,
        undone: Undone,
        tokens: Option<Vec<String>>,
        entropy: &impl Entropy,
    ) -> Self {
        let decision = match self.operation {
            Operation::Detokenize => "detokenize_failed",
            Operation::Purge | Operation::PurgeExpired | Operation::Reveal => "purge_failed",
        };
        let tokens = tokens.or_else(|| self.tokens.clone());
        Self {
            id: uuid(entropy),
            decision,
            reason: Some(undone.reason().to_owned()),
            count: tokens.as_ref().map(|tokens| tokens.len() as u64),
            tokens,
            intent: Some(self.id.clone()),
            ..self.clone()
        }
    }

    /// The event of this decision, with the current time.
    pub(super) fn event(
        &self,
        policy: &RevealPolicy,
        clock: &impl Clock,
    ) -> Result<Event, InvalidEvent> {
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Text<'a> {
            id: &'a str,
            timestamp: String,
            protocol: &'static str,
            operation: &'static str,
            identity: Option<&'a str>,
            mode: &'static str,
            enforced: bool,
            blocked: bool,
            decision: &'static str,
            reason: Option<&'a str>,
            token: Option<&'a str>,
            // Only a valid type may be repeated here.
            token_type: Option<&'a str>,
            count: Option<u64>,
            reveal_policy: String,
            summary: Summary,
            #[serde(skip_serializing_if = "Option::is_none")]
            tokens: Option<&'a [String]>,
            #[serde(skip_serializing_if = "Option::is_none")]
            intent: Option<&'a str>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Summary {
            detection_count: u64,
            by_type: Empty,
            by_action: std::collections::BTreeMap<&'static str, u64>,
        }
        #[derive(Serialize)]
        struct Empty {}

        let text = Text {
            id: &self.id,
            timestamp: iso8601(clock.wall()),
            protocol: "token-vault",
            operation: self.operation.name(),
            identity: self.identity.as_ref().map(Identity::as_str),
            mode: "n/a",
            enforced: true,
            blocked: self.decision.ends_with("_denied"),
            decision: self.decision,
            reason: self.reason.as_deref(),
            token: self.token.as_deref(),
            token_type: self
                .token_type
                .as_deref()
                .filter(|name| TokenType::new(name).is_ok()),
            count: self.count,
            reveal_policy: policy.to_string(),
            summary: Summary {
                detection_count: 0,
                by_type: Empty {},
                by_action: [(self.decision, 1)].into(),
            },
            tokens: self.tokens.as_deref(),
            intent: self.intent.as_deref(),
        };
        Event::from_serialize(&text)
    }
}

/// A random UUID (RFC 9562, version 4). Without randomness the nil UUID: the
/// record's identity does not depend on it.
pub(super) fn uuid(entropy: &impl Entropy) -> String {
    let mut bytes = [0; 16];
    if entropy.fill(&mut bytes).is_ok() {
        bytes[6] = bytes[6] & 0x0f | 0x40;
        bytes[8] = bytes[8] & 0x3f | 0x80;
    } else {
        bytes = [0; 16];
    }
    let mut text = String::with_capacity(36);
    for (place, byte) in bytes.iter().enumerate() {
        use std::fmt::Write;
        if matches!(place, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}");
    }
    text
}
