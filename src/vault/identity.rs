//! Who asked the vault for something, as its audit events name them.

use std::{str::FromStr, sync::Arc};

/// Who a reveal, a restore or a purge is for, as a service names its callers: the `identity` of the
/// audit event. Use an id rather than a name or an address: a record is never deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity(Arc<str>);

/// A text that is not an identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an identity is 1 to 256 bytes of text without control characters")]
pub struct InvalidIdentity;

impl Identity {
    /// The identity with this text.
    ///
    /// # Errors
    ///
    /// [`InvalidIdentity`] for an empty text, one of more than 256 bytes, and one with a control
    /// character.
    pub fn new(text: &str) -> Result<Self, InvalidIdentity> {
        if text.is_empty() || text.len() > 256 || text.chars().any(char::is_control) {
            return Err(InvalidIdentity);
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Identity {
    type Err = InvalidIdentity;

    fn from_str(text: &str) -> Result<Self, InvalidIdentity> {
        Self::new(text)
    }
}
