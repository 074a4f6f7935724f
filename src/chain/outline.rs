//! Reads some top-level members of a JSON object without parsing the rest.

use std::ops::Range;

use super::json::{Reader, Refusal, Token};
use super::text::Text;

/// A member of the object that an [`Outline`] reads.
pub(crate) struct Outer<'a> {
    pub(crate) name: Text<'a>,
    /// The value's first token; for a scalar, the only one.
    pub(crate) value: Token<'a>,
    /// Name and value in the text, without commas.
    pub(crate) range: Range<usize>,
    /// Where in the text the value starts.
    pub(crate) value_start: usize,
}

/// Reads an object's own members and skips their content.
pub(crate) struct Outline<'a> {
    reader: Reader<'a>,
}

impl<'a> Outline<'a> {
    /// `None` when the text's value is not an object.
    pub(crate) fn of(text: &'a str) -> Result<Option<Outline<'a>>, Refusal> {
        let mut reader = Reader::new(text, usize::MAX);
        let is_object = reader.next()? == Token::Object;
        Ok(is_object.then_some(Outline { reader }))
    }

    /// The next member; `None` once the whole text has been read.
    pub(crate) fn next(&mut self) -> Result<Option<Outer<'a>>, Refusal> {
        let reader = &mut self.reader;
        let name = loop {
            match reader.next()? {
                Token::Name(name) => break name,
                Token::Done => return Ok(None),
                _ => {}
            }
        };
        let start = reader.token_start();
        let value = reader.next()?;
        let value_start = reader.token_start();
        while reader.depth() > 1 {
            reader.next()?;
        }
        Ok(Some(Outer {
            name,
            value,
            range: start..reader.token_end(),
            value_start,
        }))
    }
}
