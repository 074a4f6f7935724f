//! Additional authenticated data (AAD): what a ciphertext is bound to.

use std::fmt;

use crate::chain::{
    canonical::{Members, Renderer},
    json::{Refusal, RefusalKind},
};

use super::nfkc;

/// The longest AAD, in bytes of its JSON text.
const MAX_BYTES: usize = 1 << 20;
/// The deepest nesting.
const MAX_DEPTH: usize = 128;

/// A JSON object that a ciphertext is bound to: decrypting needs an equal one.
///
/// Objects are equal if their nfkc-json-v2 texts are: white space, the order of
/// members and compatibility variants of characters do not count.
#[derive(Clone)]
pub struct Aad {
    json: String,
    nfkc_v2: String,
}

impl Aad {
    /// Reads a JSON object of at most 1 MiB, nested at most 128 deep.
    ///
    /// # Errors
    ///
    /// When it is not such an object, or a name is repeated in one object,
    /// possibly only after normalization.
    pub fn from_json(json: impl Into<String>) -> Result<Self, InvalidAad> {
        let json = json.into();
        if json.len() > MAX_BYTES {
            return Err(InvalidAad::TooLarge { bytes: json.len() });
        }
        let nfkc_v2 = nfkc::render(&json, MAX_DEPTH)?.ok_or(InvalidAad::NotAnObject)?;
        Ok(Self { json, nfkc_v2 })
    }

    /// What envelopes are bound to: nfkc-json-v2.
    #[must_use]
    pub fn nfkc_v2(&self) -> &str {
        &self.nfkc_v2
    }

    /// What envelopes older than version 2 are bound to: json-stable-v1. Rendered at each
    /// call.
    #[must_use]
    pub fn stable_v1(&self) -> String {
        let mut stable = Renderer::default();
        match stable.render(&self.json, MAX_DEPTH, &mut All) {
            Ok(()) => stable.into_text(),
            // It refuses nothing that nfkc-json-v2 accepts; nothing is bound to an empty text.
            Err(_) => String::new(),
        }
    }
}

impl PartialEq for Aad {
    fn eq(&self, other: &Self) -> bool {
        self.nfkc_v2 == other.nfkc_v2
    }
}

impl Eq for Aad {}

/// AAD may name people; only its length is printed.
impl fmt::Debug for Aad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Aad({} bytes)", self.nfkc_v2.len())
    }
}

struct All;

impl Members for All {
    fn keep(&mut self, _: usize, _: &[u8], _: &mut String, _: usize) -> bool {
        true
    }
}

/// Why a text is not valid AAD. Nothing was encrypted or decrypted with it; the
/// message contains byte offsets and no content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidAad {
    /// Not JSON in UTF-8.
    #[error("the AAD is not JSON: reading stopped at byte {offset}; give one JSON object")]
    NotJson {
        /// Where reading stopped.
        offset: usize,
    },
    /// JSON, but not an object.
    #[error("the AAD is not a JSON object; wrap it in one")]
    NotAnObject,
    /// Two members of one object have the same name after normalization.
    #[error(
        "the name at byte {offset} of the AAD equals another after normalization (NFKC); \
         rename one of them"
    )]
    RepeatedName {
        /// The offset of the later name.
        offset: usize,
    },
    /// Reading the number would change it, or it is larger than any double.
    #[error("the number at byte {offset} of the AAD is no exact IEEE double; give it as a string")]
    NumberChanges {
        /// The offset of the number.
        offset: usize,
    },
    /// Nested deeper than 128.
    #[error("the AAD is nested deeper than 128 at byte {offset}; flatten it")]
    TooDeep {
        /// The offset of the first container beyond the limit.
        offset: usize,
    },
    /// Longer than 1 MiB.
    #[error("the AAD has {bytes} bytes and the limit is 1048576; shorten it")]
    TooLarge {
        /// The text's length.
        bytes: usize,
    },
}

impl From<Refusal> for InvalidAad {
    fn from(Refusal { offset, kind }: Refusal) -> Self {
        match kind {
            RefusalKind::NotJson => Self::NotJson { offset },
            RefusalKind::TooDeep => Self::TooDeep { offset },
            RefusalKind::Repeated => Self::RepeatedName { offset },
            RefusalKind::NumberChanges | RefusalKind::NumberOverflows => {
                Self::NumberChanges { offset }
            }
        }
    }
}
