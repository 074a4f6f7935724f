//! The keys of a server: their values, their expiry, and their changes for
//! WATCH. The time is set for each command.

use super::reply::Reply;
use super::value::{Kind, Value, WRONGTYPE};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::sync::Arc;

#[derive(Clone, Debug, PartialEq)]
struct Entry {
    /// Shared with snapshots, and copied by the first write after one.
    value: Arc<Value>,
    /// Unix time in milliseconds.
    expires_at: Option<u64>,
}

/// The keys of one server, in byte order, so that nothing depends on a hash.
#[derive(Clone, Debug, Default)]
pub struct Keyspace {
    entries: BTreeMap<Bytes, Entry>,
    now: u64,
    changes: u64,
    /// For each watched key, the number of its last change.
    watched: BTreeMap<Bytes, u64>,
}

/// The data at one moment. Values are shared with the keyspace until they are written.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(BTreeMap<Bytes, Entry>);

impl Snapshot {
    /// The value of `key`, also of one that was past its expiry. O(log n).
    pub fn peek(&self, key: &[u8]) -> Option<&Value> {
        self.0.get(key).map(|entry| entry.value.as_ref())
    }
}

impl Keyspace {
    /// The value of `key`, also of one that is past its expiry and was not removed yet. O(log n).
    pub fn peek(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| entry.value.as_ref())
    }

    /// When `key` expires, in Unix milliseconds; `None` if it does not expire or does not exist. O(log n).
    pub fn expires_at(&self, key: &[u8]) -> Option<u64> {
        self.entries.get(key)?.expires_at
    }

    /// Every key and its value, in byte order, also those past their expiry.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Value)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key, entry.value.as_ref()))
    }

    /// The number of keys, with those past their expiry.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// A number that grows with every change to the data.
    pub fn changes(&self) -> u64 {
        self.changes
    }

    pub(super) fn snapshot(&self) -> Snapshot {
        Snapshot(self.entries.clone())
    }

    pub(super) fn restore(&mut self, snapshot: &Snapshot) {
        self.clear();
        self.entries.clone_from(&snapshot.0);
        self.changes += 1;
        self.watched
            .values_mut()
            .for_each(|stamp| *stamp = self.changes);
    }

    /// Takes one key back to a snapshot; one that it does not have is removed.
    pub(super) fn restore_key(&mut self, snapshot: &Snapshot, key: &[u8]) {
        match snapshot.0.get_key_value(key) {
            Some((key, entry)) => {
                self.entries.insert(key.clone(), entry.clone());
            }
            None => {
                self.entries.remove(key);
            }
        }
        self.touch(key);
    }

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Sets the time of the next command. It does not change while a command, or a script, runs.
    pub(super) fn set_now(&mut self, now: u64) {
        self.now = now;
    }

    /// Comes after another database of the server, with its time; changes are counted on.
    pub(super) fn follow(&mut self, other: &Keyspace) {
        self.now = other.now;
        self.changes = other.changes;
    }

    fn expire(&mut self, key: &[u8]) {
        if self
            .entries
            .get(key)
            .is_some_and(|entry| entry.expires_at.is_some_and(|at| at <= self.now))
        {
            self.entries.remove(key);
            self.touch(key);
        }
    }

    /// Removes all keys that are past their expiry, for commands that count or list keys. O(n).
    pub(super) fn expire_all(&mut self) {
        let now = self.now;
        let due: Vec<Bytes> = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.expires_at.is_some_and(|at| at <= now))
            .map(|(key, _)| key.clone())
            .collect();
        due.iter().for_each(|key| self.expire(key));
    }

    pub(super) fn get(&mut self, key: &[u8]) -> Option<&Value> {
        self.expire(key);
        self.peek(key)
    }

    pub(super) fn exists(&mut self, key: &[u8]) -> bool {
        self.get(key).is_some()
    }

    /// Reads `key` as a `K`.
    pub(super) fn read<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&K>, Reply> {
        match self.get(key) {
            None => Ok(None),
            Some(value) => K::of(value).map(Some).ok_or(WRONGTYPE),
        }
    }

    /// The value of `key`, to be changed. After a change the caller calls [`Keyspace::touch`] or [`Keyspace::tidy`].
    pub(super) fn write<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, Reply> {
        self.expire(key);
        match self.entries.get_mut(key) {
            None => Ok(None),
            Some(entry) if K::of(&entry.value).is_none() => Err(WRONGTYPE),
            Some(entry) => Ok(K::of_mut(Arc::make_mut(&mut entry.value))),
        }
    }

    /// The value of `key`, to be changed; an empty one is created if there is none.
    pub(super) fn create<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, Reply> {
        self.expire(key);
        if !self.entries.contains_key(key) {
            self.set(key, K::empty(), None);
        }
        self.write(key)?.ok_or(WRONGTYPE)
    }

    /// Sets `key`, whatever type it had. The key is copied: a slice would keep
    /// the connection's whole read buffer alive.
    pub(super) fn set(&mut self, key: &[u8], value: Value, expires_at: Option<u64>) {
        let entry = Entry {
            value: Arc::new(value),
            expires_at,
        };
        match self.entries.get_mut(key) {
            Some(old) => *old = entry,
            None => {
                self.entries.insert(Bytes::copy_from_slice(key), entry);
            }
        }
        self.touch(key);
    }

    /// Sets the expiry of a key, if it exists.
    pub(super) fn set_expiry(&mut self, key: &[u8], expires_at: Option<u64>) {
        if let Some(entry) = self.entries.get_mut(key) {
            entry.expires_at = expires_at;
            self.touch(key);
        }
    }

    pub(super) fn remove(&mut self, key: &[u8]) -> bool {
        self.expire(key);
        let removed = self.entries.remove(key).is_some();
        if removed {
            self.touch(key);
        }
        removed
    }

    /// Renames `from`, which exists, to `to`, with its expiry.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) {
        if let Some(entry) = self.entries.remove(from) {
            self.entries.insert(Bytes::copy_from_slice(to), entry);
            self.touch(from);
            self.touch(to);
        }
    }

    pub(super) fn clear(&mut self) {
        let keys = std::mem::take(&mut self.entries);
        keys.keys().for_each(|key| self.touch(key));
    }

    /// Records a change of `key`.
    pub(super) fn touch(&mut self, key: &[u8]) {
        self.changes += 1;
        if !self.watched.is_empty()
            && let Some(stamp) = self.watched.get_mut(key)
        {
            *stamp = self.changes;
        }
    }

    /// Records a change that WATCH does not notice: redis-server's groups of streams.
    pub(super) fn wrote(&mut self) {
        self.changes += 1;
    }

    /// Records a change of `key`, and removes it if its value is empty.
    pub(super) fn tidy(&mut self, key: &[u8]) {
        if self.peek(key).is_some_and(Value::is_empty) {
            self.entries.remove(key);
        }
        self.touch(key);
    }

    /// Watches `key`. Returns the number of its last change.
    pub(super) fn watch(&mut self, key: &[u8]) -> u64 {
        self.expire(key);
        *self
            .watched
            .entry(Bytes::copy_from_slice(key))
            .or_insert(self.changes)
    }

    /// Whether `key` has changed, or expired, since [`Keyspace::watch`]
    /// returned `stamp`.
    pub(super) fn changed_since(&mut self, key: &[u8], stamp: u64) -> bool {
        self.expire(key);
        self.watched.get(key).is_none_or(|now| *now != stamp)
    }

    /// Ends all watches, because all connections have ended.
    pub(super) fn end_watches(&mut self) {
        self.watched.clear();
    }
}
