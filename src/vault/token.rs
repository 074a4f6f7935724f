//! Token ids and types, and the stored text of a token.

use std::{fmt, sync::Arc};

/// The name of a token: a field of the hash.
///
/// This store creates `tok_{type}_{32 hex}`; tokens of any other name in the
/// hash can be revealed, purged and listed too.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenId(Arc<str>);

/// A text that cannot name a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token's name is from 1 to 512 bytes long")]
pub struct InvalidTokenId;

impl TokenId {
    /// The token with this name.
    ///
    /// # Errors
    ///
    /// [`InvalidTokenId`] for an empty name and for one of more than 512 bytes.
    pub fn new(name: &str) -> Result<Self, InvalidTokenId> {
        if name.is_empty() || name.len() > 512 {
            return Err(InvalidTokenId);
        }
        Ok(Self(name.into()))
    }

    /// `tok_{type}_` and 128 bits in hexadecimal.
    pub(crate) fn made(token_type: &TokenType, bits: [u8; 16]) -> Self {
        let mut name = format!("tok_{}_", token_type.0);
        for byte in bits {
            use fmt::Write;
            let _ = write!(name, "{byte:02x}");
        }
        Self(name.into())
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the name has the form of a token,
    /// `tok_[a-z0-9_]+_[a-f0-9]{16,}`: only such a name is written to the audit
    /// chain, because a caller may pass a plaintext by mistake.
    #[must_use]
    pub fn has_token_form(&self) -> bool {
        has_token_form(&self.0)
    }
}

/// As [`TokenId::has_token_form`], for any text.
pub(super) fn has_token_form(text: &str) -> bool {
    let Some((kind, hex)) = text
        .strip_prefix("tok_")
        .and_then(|rest| rest.rsplit_once('_'))
    else {
        return false;
    };
    hex.len() >= 16
        && hex
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
        && !kind.is_empty()
        && kind.bytes().all(is_type_byte)
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A name without a token's form may be a plaintext, so it is not shown.
impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.has_token_form() {
            f.write_str(&self.0)
        } else {
            write!(f, "TokenId({} bytes)", self.0.len())
        }
    }
}

/// The type of a token's plaintext: `[a-z0-9_]+`, such as `email`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TokenType(Arc<str>);

/// A text that is not a token type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token type is 1 to 64 characters of a to z, 0 to 9 and _")]
pub struct InvalidTokenType;

fn is_type_byte(byte: u8) -> bool {
    matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')
}

impl TokenType {
    /// The type with this name.
    ///
    /// # Errors
    ///
    /// [`InvalidTokenType`] for any other character, for an empty name, and
    /// for one of more than 64.
    pub fn new(name: &str) -> Result<Self, InvalidTokenType> {
        if name.is_empty() || name.len() > 64 || !name.bytes().all(is_type_byte) {
            return Err(InvalidTokenType);
        }
        Ok(Self(name.into()))
    }

    /// The type's name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TokenType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The stored value of a token; the fence compares its bytes. Cheap to clone.
#[derive(Clone, PartialEq, Eq)]
pub struct Stored(Arc<[u8]>);

impl Stored {
    /// The stored bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl From<Vec<u8>> for Stored {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Stored {
    fn from(text: &str) -> Self {
        Self(text.as_bytes().into())
    }
}

impl From<String> for Stored {
    fn from(text: String) -> Self {
        Self(text.into_bytes().into())
    }
}

impl fmt::Debug for Stored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Stored({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Would catch a plaintext that is written to the audit chain because it
    /// begins like a token.
    #[test]
    fn only_names_in_token_form_may_be_logged() {
        for good in [
            "tok_email_0123456789abcdef",
            "tok_api_key_090f3ea6c32661a80f61561f07aa840a",
            "tok___0123456789abcdef",
        ] {
            assert!(has_token_form(good), "{good}");
        }
        for bad in [
            "tok_email_0123456789ABCDEF",
            "tok_email_0123456789abcde",
            "tok__0123456789abcdef",
            "tok_E_0123456789abcdef",
            "tok_email_0123456789abcdef\n",
            "4111111111111111",
            "tok_",
        ] {
            assert!(!has_token_form(bad), "{bad}");
        }
        let secret = TokenId::new("hunter2").map(|id| format!("{id:?}"));
        assert_eq!(secret.as_deref(), Ok("TokenId(7 bytes)"));
    }
}
