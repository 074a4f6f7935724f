//! The state of a server, without its connections.

use super::durable::{Place, ServerKind};
use super::keyspace::Keyspace;
use super::modes::Modes;
use super::script::Scripts;
use super::script::library::Random;
use std::collections::BTreeMap;

/// The state of a server. It is moved into a script while the script runs. The
/// default is an empty server.
#[derive(Default)]
pub(super) struct State {
    pub(super) keyspace: Keyspace,
    pub(super) modes: Modes,
    pub(super) scripts: Scripts,
    pub(super) random: Random,
    pub(super) settings: BTreeMap<String, String>,
    /// The time of the running command, in microseconds since the Unix epoch.
    pub(super) micros: u64,
    pub(super) started_micros: u64,
    pub(super) connections: usize,
    pub(super) next_id: u64,
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

impl State {
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
