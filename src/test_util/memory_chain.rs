//! The reference model of the chain, and a store in memory over it, with the
//! semantics of the one in Redis.
use crate::{
    audit::store::{AuditStore, Batch, Reply, Seen, Tail},
    chain::{Head, Position, Record},
    error::{AttemptError, ReadError},
    sync::{Arc, Mutex, lock},
};

/// The records of a chain; each method is one atomic step of a server.
#[derive(Clone, Debug, Default)]
pub struct ChainModel {
    records: Vec<Record>,
}

impl ChainModel {
    /// The records, in order.
    #[must_use]
    pub fn records(&self) -> &[Record] {
        &self.records
    }

    /// The last record.
    #[must_use]
    pub fn head(&self) -> Head {
        self.records
            .last()
            .map_or(Head::Empty, |record| Head::At(record.position()))
    }

    fn at(&self, sequence: u64) -> Option<Position> {
        let index = usize::try_from(sequence.checked_sub(1)?).ok()?;
        self.records.get(index).map(Record::position)
    }

    /// Compare-and-append.
    pub fn append(&mut self, batch: &Batch<'_>) -> Reply {
        if self.head() == batch.base {
            self.append_unfenced(batch.records);
            return Reply::Committed;
        }
        let first = batch.records.first().map(Record::position);
        let found = first.and_then(|first| self.at(first.sequence.get()));
        Reply::Conflict {
            tail: self.tail(batch.seen),
            applied: batch.resent && found.is_some() && found == first,
        }
    }

    /// Appends whatever the head is, as no correct store does.
    pub fn append_unfenced(&mut self, records: &[Record]) {
        self.records.extend_from_slice(records);
    }

    /// The chain's end, and the record at `seen`.
    #[must_use]
    pub fn tail(&self, seen: Option<Position>) -> Tail {
        let seen = match seen.map(|seen| (seen, self.at(seen.sequence.get()))) {
            Some((seen, found)) if found != Some(seen) => Seen::Gone {
                found: found.map(|found| found.event_hash),
            },
            _ => Seen::Stands,
        };
        Tail {
            head: self.head(),
            length: self.records.len() as u64,
            seen,
        }
    }

    /// The texts of the records from index `start` to `end`, exclusive.
    #[must_use]
    pub fn read(&self, start: u64, end: u64) -> Vec<Vec<u8>> {
        let index = |place: u64| {
            usize::try_from(place)
                .unwrap_or(usize::MAX)
                .min(self.records.len())
        };
        let (start, end) = (index(start), index(end));
        self.records[start..end.max(start)]
            .iter()
            .map(|record| record.text().as_bytes().to_vec())
            .collect()
    }
}

/// A chain in memory. Clones share it.
#[derive(Clone, Default)]
pub struct MemoryChain(Arc<Mutex<ChainModel>>);

impl MemoryChain {
    /// An empty chain.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Reads or changes the chain in one atomic step.
    pub fn with<T>(&self, step: impl FnOnce(&mut ChainModel) -> T) -> T {
        step(&mut lock(&self.0))
    }
}

impl AuditStore for MemoryChain {
    type Lease = ();

    async fn append(&self, batch: &Batch<'_>) -> Result<Reply, AttemptError> {
        Ok(self.with(|chain| chain.append(batch)))
    }

    async fn tail(&self, seen: Option<Position>) -> Result<Tail, AttemptError> {
        Ok(self.with(|chain| chain.tail(seen)))
    }

    async fn read(&self, start: u64, end: u64) -> Result<Vec<Vec<u8>>, ReadError> {
        Ok(self.with(|chain| chain.read(start, end)))
    }

    async fn lease(&self) {}

    async fn release(&self, (): ()) {}
}
