//! The state of a server, without its connections.

use super::blocked::Blocked;
use super::durable::{Place, ServerKind};
use super::keyspace::Keyspace;
use super::modes::Modes;
use super::pubsub::PubSub;
use super::reply::Reply;
use super::script::Scripts;
use super::script::library::Random;
use bytes::Bytes;
use std::collections::BTreeMap;

/// The state of a server. It is moved into a script while the script runs. The
/// default is an empty server.
#[derive(Default)]
pub(super) struct State {
    /// The keys of the database that the running command has selected; between commands, of database 0.
    pub(super) keyspace: Keyspace,
    /// Its number.
    db: i64,
    /// The other databases that were ever selected.
    others: BTreeMap<i64, Keyspace>,
    pub(super) modes: Modes,
    pub(super) scripts: Scripts,
    pub(super) random: Random,
    pub(super) settings: BTreeMap<String, String>,
    /// The time of the running command, in microseconds since the Unix epoch.
    pub(super) micros: u64,
    pub(super) started_micros: u64,
    pub(super) connections: usize,
    pub(super) next_id: u64,
    /// The names of the open connections.
    pub(super) clients: BTreeMap<u64, Bytes>,
    /// The connections that wait for an element, the first first.
    pub(super) blocked: Vec<Blocked>,
    /// The replies to those that waited, until they are sent.
    pub(super) served: BTreeMap<u64, Reply>,
    pub(super) pubsub: PubSub,
    pub(super) life: u64,
    pub(super) run_id: String,
    pub(super) kind: ServerKind,
    /// The replicas that are online.
    pub(super) replicas: Vec<Place>,
    /// The append-only file, once synced.
    pub(super) disk: Place,
}

/// The settings of CONFIG: name, default and, if not any, the valid values.
pub(super) const SETTINGS: &[(&str, &str, &[&str])] = &[
    ("appendfsync", "everysec", &["everysec", "always", "no"]),
    ("appendonly", "no", &["yes", "no"]),
    ("maxmemory", "0", &[]),
    (
        "maxmemory-policy",
        "noeviction",
        &[
            "volatile-lru",
            "volatile-lfu",
            "volatile-random",
            "volatile-ttl",
            "allkeys-lru",
            "allkeys-lfu",
            "allkeys-random",
            "noeviction",
        ],
    ),
    ("min-replicas-max-lag", "10", &[]),
    ("min-replicas-to-write", "0", &[]),
    ("save", "", &[]),
    ("stop-writes-on-bgsave-error", "yes", &["yes", "no"]),
];

/// The number of databases.
pub(super) const DATABASES: i64 = 16;

impl State {
    /// Selects a database.
    pub(super) fn switch_to(&mut self, db: i64) {
        if self.db == db {
            return;
        }
        let mut next = self.others.remove(&db).unwrap_or_default();
        next.follow(&self.keyspace);
        let before = std::mem::replace(&mut self.keyspace, next);
        self.others.insert(self.db, before);
        self.db = db;
    }

    /// Removes the keys of all databases.
    pub(super) fn clear_all(&mut self) {
        let selected = self.db;
        let others: Vec<i64> = self.others.keys().copied().collect();
        for db in others.into_iter().chain([selected]) {
            self.switch_to(db);
            self.keyspace.clear();
        }
    }

    /// Ends all watches, because all connections have ended.
    pub(super) fn end_watches(&mut self) {
        self.keyspace.end_watches();
        self.others.values_mut().for_each(Keyspace::end_watches);
    }

    /// Every database that has keys, and its keys.
    pub(super) fn databases(&self) -> impl Iterator<Item = (i64, &Keyspace)> {
        let others = self.others.iter().map(|(db, keyspace)| (*db, keyspace));
        others
            .chain([(self.db, &self.keyspace)])
            .filter(|(_, keyspace)| !keyspace.is_empty())
    }

    pub(super) fn setting(&self, name: &str) -> &str {
        match self.settings.get(name) {
            Some(value) => value,
            None => SETTINGS
                .iter()
                .find(|(known, ..)| *known == name)
                .map_or("", |(_, default, _)| default),
        }
    }
}
