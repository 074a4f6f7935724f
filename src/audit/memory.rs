//! A chain in memory with the semantics of the one in Redis: for tests, and as
//! the reference model.

use super::store::{AuditStore, Batch, Reply, Seen, Tail};
use crate::{
    chain::{Head, Position, Record},
    error::{AttemptError, ReadError},
    sync::{Arc, Mutex, lock},
};

/// A chain in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryChain {
    records: Arc<Mutex<Vec<Record>>>,
}

impl MemoryChain {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

fn head(records: &[Record]) -> Head {
    records
        .last()
        .map_or(Head::Empty, |record| Head::At(record.position()))
}

fn at(records: &[Record], sequence: u64) -> Option<Position> {
    let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
    records.get(index).map(Record::position)
}

fn tail(records: &[Record], seen: Option<Position>) -> Tail {
    let seen = match seen {
        None => Seen::Stands,
        Some(seen) => match at(records, seen.sequence.get()) {
            Some(found) if found == seen => Seen::Stands,
            found => Seen::Gone {
                found: found.map(|found| found.event_hash),
            },
        },
    };
    Tail {
        head: head(records),
        length: records.len() as u64,
        seen,
    }
}

impl AuditStore for MemoryChain {
    type Lease = ();

    async fn append(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        let mut records = lock(&self.records);
        if head(&records) == batch.base {
            records.extend_from_slice(batch.records);
            return Ok(Reply::Committed);
        }
        let landed = batch.records.iter().map(Record::position);
        Ok(Reply::Conflict {
            tail: tail(&records, batch.seen),
            landed: landed
                .take_while(|_| batch.resent)
                .map_while(|sealed| at(&records, sealed.sequence.get()))
                .collect(),
        })
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        Ok(tail(&lock(&self.records), seen))
    }

    async fn read(&self, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        let records = lock(&self.records);
        let index = |place: u64| {
            usize::try_from(place)
                .unwrap_or(usize::MAX)
                .min(records.len())
        };
        let (start, end) = (index(start), index(end));
        Ok(records[start..end.max(start)]
            .iter()
            .map(|record| record.text().as_bytes().to_vec())
            .collect())
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
