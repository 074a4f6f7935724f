//! JSON objects that callers pass with a plaintext: metadata and context.

use std::{collections::BTreeMap, fmt};

use serde_json::value::RawValue;

/// A JSON object; members keep their text, in the order of their names.
///
/// `Debug` shows only the number of members.
#[derive(Clone, Default)]
pub struct JsonObject(BTreeMap<String, Box<RawValue>>);

/// A text that is not a JSON object. Its content is not repeated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidObject {
    /// It is not JSON, or not an object.
    #[error("not a JSON object, at line {line} column {column}")]
    NotAnObject {
        /// From 1.
        line: usize,
        /// From 1; 0 before the first.
        column: usize,
    },
    /// It is longer than 1 MiB.
    #[error("longer than 1 MiB")]
    TooLong,
}

impl fmt::Debug for JsonObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "JsonObject({} members)", self.0.len())
    }
}

impl JsonObject {
    /// The object in `text`, of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// [`InvalidObject`].
    pub fn from_json(text: &str) -> Result<Self, InvalidObject> {
        if text.len() > 1 << 20 {
            return Err(InvalidObject::TooLong);
        }
        serde_json::from_str(text)
            .map(Self)
            .map_err(|error| InvalidObject::NotAnObject {
                line: error.line(),
                column: error.column(),
            })
    }

    /// The object without these members.
    pub(super) fn without(mut self, names: &[&str]) -> Self {
        for name in names {
            self.0.remove(*name);
        }
        self
    }

    /// The object with this member, replacing any of that name.
    pub(super) fn with(mut self, name: &str, value: Box<RawValue>) -> Self {
        self.0.insert(name.to_owned(), value);
        self
    }

    /// The object's text.
    pub(super) fn raw(&self) -> Box<RawValue> {
        // Text keys and raw values always serialize.
        serde_json::value::to_raw_value(&self.0).unwrap_or_default()
    }
}
