//! Reading records as they are appended, a page at a time.

use super::store::{AuditStore, Seen, Tail, once_more};
use crate::{
    chain::{Position, Sequence, StoredRecord},
    error::{ReadError, RolledBack, from_cause},
};

/// Records requested at once.
const PAGE: u64 = 512;

/// Iterates over the records of a store, and then over those that are appended.
///
/// Each record links to the one before it, and every page begins with a
/// comparison: a chain that lost what was read ends the iteration with an error.
pub struct Follow<'a, S> {
    store: &'a S,
    /// The last record read, or the head when this began.
    seen: Option<Position>,
    /// The next sequence.
    next: u64,
}

/// Why a chain cannot be followed further.
#[derive(Clone, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum FollowError {
    /// Redis could not be read; following may go on. Or its state is not a chain.
    #[error(transparent)]
    Read(ReadError),

    /// The last record read is no longer in the chain.
    #[error(
        "rolled back: sequence {} with hash {} was the last record read, and is no longer in the \
         chain{}: what was read up to there no longer stands. Verify the chain against its anchors",
        .0.seen.sequence, .0.seen.event_hash,
        .0.met.position().map_or_else(
            || ", which is empty now".to_owned(),
            |met| format!(", which ends at sequence {} now", met.sequence),
        )
    )]
    RolledBack(Box<RolledBack>),

    /// The next record is no longer in the list.
    #[error(
        "sequence {next} was trimmed away before it was read: the list begins at {first}; follow from there"
    )]
    Trimmed {
        /// The next sequence.
        next: u64,
        /// The first in the list.
        first: u64,
    },

    /// The next element does not follow the last record read.
    #[error(
        "the element at sequence {0} is not a record that follows the one before; verify the chain"
    )]
    Unlinked(u64),
}

from_cause! { FollowError: Read(ReadError) }

impl<'a, S: AuditStore> Follow<'a, S> {
    /// Follows from the current head on: what is appended from now.
    ///
    /// # Errors
    ///
    /// [`ReadError`].
    pub async fn from_head(store: &'a S) -> Result<Self, ReadError> {
        let head = once_more(|| store.tail(None)).await?.head;
        Ok(Self {
            store,
            seen: head.position(),
            next: head.len() + 1,
        })
    }

    /// Follows from `first` on, whether it is in the chain yet or not.
    pub fn from(store: &'a S, first: Sequence) -> Self {
        Self {
            store,
            seen: None,
            next: first.get(),
        }
    }

    /// The records after those read so far, as stored, at most a page of them;
    /// empty if there are none yet. Does not wait. Dropping the future loses
    /// nothing.
    ///
    /// # Errors
    ///
    /// [`FollowError`]; only after an unavailable Redis may this be called again.
    pub async fn next(&mut self) -> Result<Vec<Vec<u8>>, FollowError> {
        // A second time, if the list changed between the tail and the page.
        for _ in 0..2 {
            let tail = self.tail().await?;
            if tail.head.len() < self.next {
                return Ok(Vec::new());
            }
            let trimmed = tail.head.len().saturating_sub(tail.length);
            let Some(start) = (self.next - 1).checked_sub(trimmed) else {
                return Err(FollowError::Trimmed {
                    next: self.next,
                    first: trimmed + 1,
                });
            };
            let end = tail.length.min(start.saturating_add(PAGE));
            let mut page = self.store.read(start, end).await?;
            let linked = self.linked(&page);
            page.truncate(linked);
            if !page.is_empty() {
                return Ok(page);
            }
        }
        Err(FollowError::Unlinked(self.next))
    }

    /// The end of a chain that still has what was seen. A rollback is looked at
    /// again before it is believed.
    async fn tail(&self) -> Result<Tail, FollowError> {
        let mut is_second = false;
        loop {
            let tail = once_more(|| self.store.tail(self.seen)).await;
            let tail = tail.map_err(ReadError::from)?;
            match (tail.seen, self.seen) {
                (Seen::Gone { found }, Some(seen)) if is_second => {
                    let met = tail.head;
                    let rolled_back = RolledBack {
                        seen,
                        found,
                        met,
                        standing: None,
                    };
                    return Err(FollowError::RolledBack(Box::new(rolled_back)));
                }
                (Seen::Gone { .. }, Some(_)) => is_second = true,
                _ => return Ok(tail),
            }
        }
    }

    /// How many records of `page` follow what was read; they count as read.
    fn linked(&mut self, page: &[Vec<u8>]) -> usize {
        for (place, text) in page.iter().enumerate() {
            let follows = |stored: &StoredRecord| {
                stored.position.sequence.get() == self.next
                    && self
                        .seen
                        .is_none_or(|seen| stored.previous == Some(seen.event_hash))
            };
            let Some(stored) = StoredRecord::parse(text).ok().filter(follows) else {
                return place;
            };
            self.seen = Some(stored.position);
            self.next += 1;
        }
        page.len()
    }
}
