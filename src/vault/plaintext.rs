//! A revealed plaintext, which `Debug` does not show.

use std::fmt;

use zeroize::Zeroizing;

/// What a token stands for. It is wiped from memory when dropped, and shows
/// nothing of itself in a `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Plaintext(Zeroizing<String>);

impl Plaintext {
    /// The text in `bytes`; `None` if they are not UTF-8.
    pub(super) fn from_utf8(mut bytes: Zeroizing<Vec<u8>>) -> Option<Self> {
        match String::from_utf8(std::mem::take(&mut *bytes)) {
            Ok(text) => Some(Self(Zeroizing::new(text))),
            Err(error) => {
                drop(Zeroizing::new(error.into_bytes()));
                None
            }
        }
    }

    /// The text. What is copied from it is no longer looked after.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Plaintext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Plaintext(..)")
    }
}
