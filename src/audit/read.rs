//! Reading a whole chain back, a page at a time.

use super::store::{AuditStore, Tail, once_more};
use crate::error::ReadError;

/// Records requested at once.
const PAGE: u64 = 512;

/// Iterates over the records of a store in order, a page at a time, in memory
/// that does not grow with the chain.
///
/// The end is fixed when it is opened: records appended meanwhile are not
/// included.
pub struct Pages<'a, S> {
    store: &'a S,
    next: u64,
    end: u64,
}

impl<'a, S: AuditStore> Pages<'a, S> {
    /// Iterates over the current records of `store`; returns the chain's end
    /// too.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn open(store: &'a S) -> Result<(Self, Tail), ReadError> {
        let tail = once_more(|| store.tail(None)).await?;
        let pages = Self {
            store,
            next: 0,
            end: tail.length,
        };
        Ok((pages, tail))
    }

    /// Iterates over the elements `start..end` of the list, counted from 0.
    pub fn over(store: &'a S, start: u64, end: u64) -> Self {
        Self {
            store,
            next: start,
            end,
        }
    }

    /// The next records; empty at the end.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn next(&mut self) -> Result<Vec<Vec<u8>>, ReadError> {
        if self.next >= self.end {
            return Ok(Vec::new());
        }
        let end = self.end.min(self.next.saturating_add(PAGE));
        let page = self.store.read(self.next, end).await?;
        self.next += page.len() as u64;
        if page.is_empty() {
            self.next = self.end;
        }
        Ok(page)
    }
}
