//! The keys of one server: what they hold, when they expire, and who watches them.

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
    /// For each watched key, the change that last touched it.
    watched: BTreeMap<Bytes, u64>,
}

/// The data of one moment, cheap to take: values are shared until one side writes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Snapshot(BTreeMap<Bytes, Entry>);

impl Keyspace {
    /// What `key` holds, without expiring anything: a key past its time is still seen. For checkers.
    pub fn peek(&self, key: &[u8]) -> Option<&Value> {
        self.entries.get(key).map(|entry| entry.value.as_ref())
    }

    /// When `key` expires, in Unix milliseconds; `None` when it does not, or is not there.
    pub fn expires_at(&self, key: &[u8]) -> Option<u64> {
        self.entries.get(key)?.expires_at
    }

    /// Every key and what it holds, in byte order, without expiring anything.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Value)> {
        self.entries
            .iter()
            .map(|(key, entry)| (key, entry.value.as_ref()))
    }

    /// How many keys there are, those past their time included.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key at all.
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

    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Time as one command sees it: it stands still while the command, or its whole script, runs.
    pub(super) fn set_now(&mut self, now: u64) {
        self.now = now;
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

    /// Drops all that is past its time; for commands that count or list keys.
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

    /// Opens `key` for change; whoever changes it calls [`Keyspace::touch`] or [`Keyspace::tidy`].
    pub(super) fn write<K: Kind>(&mut self, key: &[u8]) -> Result<Option<&mut K>, Reply> {
        self.expire(key);
        match self.entries.get_mut(key) {
            None => Ok(None),
            Some(entry) if K::of(&entry.value).is_none() => Err(WRONGTYPE),
            Some(entry) => Ok(K::of_mut(Arc::make_mut(&mut entry.value))),
        }
    }

    /// Opens `key` for change, an empty one where there was none.
    pub(super) fn create<K: Kind>(&mut self, key: &[u8]) -> Result<&mut K, Reply> {
        self.expire(key);
        if !self.entries.contains_key(key) {
            self.set(key, K::empty(), None);
        }
        self.write(key)?.ok_or(WRONGTYPE)
    }

    /// Sets `key`, whatever it was. The key is copied: a slice of what was read would keep the whole read alive.
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

    /// Sets when a key that exists expires.
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

    /// Moves `from`, which exists, with its expiry, onto `to`.
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

    /// Says that `key` changed.
    pub(super) fn touch(&mut self, key: &[u8]) {
        self.changes += 1;
        if !self.watched.is_empty()
            && let Some(stamp) = self.watched.get_mut(key)
        {
            *stamp = self.changes;
        }
    }

    /// Says that `key` changed, and drops it when its last element went.
    pub(super) fn tidy(&mut self, key: &[u8]) {
        if self.peek(key).is_some_and(Value::is_empty) {
            self.entries.remove(key);
        }
        self.touch(key);
    }

    /// Starts to watch `key`: its stamp changes when the key does.
    pub(super) fn watch(&mut self, key: &[u8]) -> u64 {
        self.expire(key);
        *self
            .watched
            .entry(Bytes::copy_from_slice(key))
            .or_insert(self.changes)
    }

    /// Whether `key` has changed, or expired, since [`Keyspace::watch`] gave `stamp`.
    pub(super) fn changed_since(&mut self, key: &[u8], stamp: u64) -> bool {
        self.expire(key);
        self.watched.get(key).is_none_or(|now| *now != stamp)
    }

    /// Forgets who watched what: their connections are gone.
    pub(super) fn forget_watchers(&mut self) {
        self.watched.clear();
    }
}
