//! Streams: entries in the order of their ids, and the groups that read them.

use bytes::Bytes;
use std::collections::{BTreeMap, VecDeque};
use std::fmt;

/// The id of an entry: `1526919030474-55`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct StreamId {
    /// Usually the Unix time in milliseconds when it was added.
    pub ms: u64,
    /// Its number within the millisecond.
    pub seq: u64,
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

impl StreamId {
    pub(super) const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    pub(super) const MAX: StreamId = StreamId {
        ms: u64::MAX,
        seq: u64::MAX,
    };

    pub(super) fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self.ms.checked_add(1).map(|ms| StreamId { ms, seq: 0 }),
        }
    }

    pub(super) fn previous(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => self
                .ms
                .checked_sub(1)
                .map(|ms| StreamId { ms, seq: u64::MAX }),
        }
    }
}

/// Names and values in turn.
pub(super) type Fields = Vec<Bytes>;

/// A stream. It stays when its last entry is deleted.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Stream {
    entries: BTreeMap<StreamId, Fields>,
    blocks: VecDeque<Block>,
    pub(super) groups: BTreeMap<Bytes, Group>,
    /// The greatest id that was ever added.
    pub(super) last: StreamId,
    /// The greatest id that XDEL deleted.
    pub(super) deleted: StreamId,
    /// How many entries were ever added.
    pub(super) added: u64,
}

/// Entries that redis-server stores together, and that an approximate trim removes together.
#[derive(Clone, Debug, PartialEq)]
struct Block {
    /// The last id that was added to it.
    last: StreamId,
    /// How many entries were added to it.
    added: usize,
    /// How many of them are left.
    left: usize,
}

impl Block {
    /// The default of `stream-node-max-entries`. That of `stream-node-max-bytes` is not simulated.
    const MAX: usize = 100;
}

/// A consumer group.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Group {
    /// The last id that was delivered.
    pub(super) last: StreamId,
    /// How many entries it has read, if that is known.
    pub(super) read: Option<i64>,
    /// What was delivered and not acknowledged.
    pub(super) pending: BTreeMap<StreamId, Pending>,
    /// Consumers, and when each was last seen.
    pub(super) consumers: BTreeMap<Bytes, u64>,
}

/// An entry that a consumer has not acknowledged.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Pending {
    pub(super) consumer: Bytes,
    /// Unix time in milliseconds.
    pub(super) delivered_at: u64,
    pub(super) deliveries: i64,
}

/// What a trim keeps.
#[derive(Clone, Copy)]
pub(super) enum Keep {
    /// So many entries, the last ones.
    Length(usize),
    /// What has this id or a later one.
    From(StreamId),
}

impl Stream {
    /// The number of entries.
    #[allow(
        clippy::len_without_is_empty,
        reason = "whether it is empty says nothing: it stays with its key"
    )]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Ids and entries in order; an entry is its names and values in turn.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (StreamId, &[Bytes])> {
        self.range(StreamId::MIN, StreamId::MAX)
    }

    pub(super) fn range(
        &self,
        start: StreamId,
        end: StreamId,
    ) -> impl DoubleEndedIterator<Item = (StreamId, &[Bytes])> {
        let range = (start <= end).then(|| self.entries.range(start..=end));
        let entries = range.into_iter().flatten();
        entries.map(|(id, fields)| (*id, fields.as_slice()))
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&[Bytes]> {
        self.entries.get(&id).map(Vec::as_slice)
    }

    pub(super) fn first_id(&self) -> StreamId {
        self.entries.keys().next().copied().unwrap_or_default()
    }

    /// The greatest id of an entry that is left.
    pub(super) fn last_valid_id(&self) -> StreamId {
        self.entries.keys().next_back().copied().unwrap_or_default()
    }

    /// The id of the next entry at this time; `None` if there is none left.
    pub(super) fn next_id(&self, now: u64) -> Option<StreamId> {
        match now > self.last.ms {
            true => Some(StreamId { ms: now, seq: 0 }),
            false => self.last.next(),
        }
    }

    /// Adds an entry whose id is greater than all before it.
    pub(super) fn add(&mut self, id: StreamId, fields: Fields) {
        match self.blocks.back_mut() {
            Some(block) if block.added < Block::MAX => {
                (block.last, block.added, block.left) = (id, block.added + 1, block.left + 1);
            }
            _ => self.blocks.push_back(Block {
                last: id,
                added: 1,
                left: 1,
            }),
        }
        self.entries.insert(id, fields);
        self.last = id;
        self.added += 1;
    }

    pub(super) fn delete(&mut self, id: StreamId) -> bool {
        if self.entries.remove(&id).is_none() {
            return false;
        }
        let at = self.blocks.partition_point(|block| block.last < id);
        if let Some(block) = self.blocks.get_mut(at) {
            block.left -= 1;
            if block.left == 0 {
                self.blocks.remove(at);
            }
        }
        self.deleted = self.deleted.max(id);
        true
    }

    /// Removes the first entries, and returns how many. An approximate trim removes whole blocks only, and at most
    /// `limit` entries.
    pub(super) fn trim(&mut self, keep: Keep, limit: Option<usize>) -> usize {
        let length = self.len();
        while let Some(block) = self.blocks.front_mut() {
            let (left, last, now) = (block.left, block.last, self.entries.len());
            let is_enough = matches!(keep, Keep::Length(most) if now <= most);
            if is_enough || limit.is_some_and(|limit| length - now + left > limit) {
                break;
            }
            let is_whole = match keep {
                Keep::Length(most) => now - left >= most,
                Keep::From(id) => last < id,
            };
            if is_whole {
                self.blocks.pop_front();
                (0..left).for_each(|_| drop(self.entries.pop_first()));
                continue;
            }
            if limit.is_none() {
                let mut surplus = match keep {
                    Keep::Length(most) => now - most,
                    Keep::From(id) => self.entries.range(..id).count(),
                };
                block.left -= surplus;
                while surplus > 0 {
                    self.entries.pop_first();
                    surplus -= 1;
                }
            }
            break;
        }
        length - self.len()
    }

    /// Delivers to a consumer what is new for its group, at most so many entries.
    pub(super) fn deliver(
        &mut self,
        name: &Bytes,
        consumer: &Bytes,
        most: usize,
        acknowledged: bool,
        now: u64,
    ) -> Vec<(StreamId, Fields)> {
        let progress = self.progress();
        let Some(group) = self.groups.get_mut(name) else {
            return Vec::new();
        };
        let Some(start) = group.last.next() else {
            return Vec::new();
        };
        let new = self.entries.range(start..).take(most);
        let new: Vec<_> = new.map(|(id, fields)| (*id, fields.clone())).collect();
        for (id, _) in &new {
            group.read = match group.read {
                Some(read) if !progress.has_gap_after(*id) => Some(read.saturating_add(1)),
                _ => progress.number_of(*id),
            };
            group.last = *id;
            if !acknowledged {
                let pending = Pending {
                    consumer: consumer.clone(),
                    delivered_at: now,
                    deliveries: 1,
                };
                group.pending.insert(*id, pending);
            }
        }
        new
    }

    /// The number of blocks.
    pub(super) fn blocks(&self) -> usize {
        self.blocks.len()
    }

    pub(super) fn progress(&self) -> Progress {
        Progress {
            length: self.entries.len(),
            first: self.first_id(),
            last: self.last,
            deleted: self.deleted,
            added: i64::try_from(self.added).unwrap_or(i64::MAX),
        }
    }
}

/// What the numbers of entries follow from.
#[derive(Clone, Copy)]
pub(super) struct Progress {
    length: usize,
    first: StreamId,
    last: StreamId,
    deleted: StreamId,
    added: i64,
}

impl Progress {
    /// Whether entries may have been deleted from this id on.
    fn has_gap_after(self, id: StreamId) -> bool {
        self.length > 0 && self.deleted != StreamId::MIN && id <= self.deleted
    }

    /// How many entries had been added when this one was, if that can be known.
    fn number_of(self, id: StreamId) -> Option<i64> {
        let before = || {
            self.added
                .saturating_sub(i64::try_from(self.length).unwrap_or(i64::MAX))
        };
        if self.added == 0 {
            Some(0)
        } else if id == self.last || (self.length == 0 && id < self.last) {
            Some(self.added)
        } else if id > self.last || (self.deleted != StreamId::MIN && self.deleted >= self.first) {
            None
        } else if id < self.first {
            Some(before())
        } else if id == self.first {
            Some(before() + 1)
        } else {
            None
        }
    }

    /// How many entries a group has yet to read, if that can be known.
    pub(super) fn lag(self, group: &Group) -> Option<i64> {
        if self.added == 0 {
            return Some(0);
        }
        let read = match group.read {
            Some(read) if !self.has_gap_after(group.last) => Some(read),
            _ => self.number_of(group.last),
        };
        read.map(|read| self.added.saturating_sub(read))
    }
}

impl Group {
    /// How many entries this consumer has not acknowledged.
    pub(super) fn pending_of(&self, consumer: &[u8]) -> usize {
        let pending = self.pending.values();
        pending.filter(|one| one.consumer == consumer).count()
    }
}
