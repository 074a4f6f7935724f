//! A cluster of two nodes, one of which serves the slot of the store's keys: what the
//! nodes answer while the slot moves, and while its owner is replaced.
//!
//! All keys of a world count as of one slot.

use std::time::Duration;

use bytes::Bytes;
use rand::{Rng, RngExt};
use redis_sim::{Command, Redis, Reply, Snapshot};

use super::{
    handle::{WorldHandle, lock},
    net::{DATA_HOSTS, REDIS_PORT},
};
use crate::plan::Topology;

/// The number of the slot.
const SLOT: u16 = 3999;

/// Commands without keys, which any node runs.
const KEYLESS: [&str; 16] = [
    "PING", "ECHO", "INFO", "TIME", "SCRIPT", "CONFIG", "COMMAND", "CLIENT", "HELLO", "AUTH",
    "ACL", "WAIT", "WAITAOF", "SELECT", "QUIT", "RESET",
];

/// What the nodes say about the slot.
pub(super) enum Slot {
    /// The owner serves it.
    Served,
    /// It moves to the other node; these keys are to move, the next one last.
    Moving {
        keys: Vec<Bytes>,
        /// How many they were.
        count: usize,
    },
    /// Its owner is gone, and the other one does not know.
    OwnerGone,
    /// Its owner is gone, and the other one knows.
    Unserved,
}

/// The keys of a command.
fn keys_of(command: &Command) -> &[Bytes] {
    let words = command.words();
    if KEYLESS.iter().any(|name| command.is(name)) {
        return &[];
    }
    if command.is("EVALSHA") || command.is("EVAL") {
        let count = words.get(2).and_then(|count| {
            let count = std::str::from_utf8(count).ok()?;
            count.parse::<usize>().ok()
        });
        let rest = words.get(3..).unwrap_or_default();
        return rest.get(..count.unwrap_or(0)).unwrap_or_default();
    }
    if command.is("DEL") || command.is("EXISTS") || command.is("MGET") {
        return words.get(1..).unwrap_or_default();
    }
    words.get(1..2).unwrap_or_default()
}

impl WorldHandle {
    /// Whether a slot moves.
    pub(super) fn is_moving(&self) -> bool {
        self.nodes(|nodes| matches!(nodes.slot, Slot::Moving { .. }))
    }

    /// What a node of a cluster answers that does not run this command.
    pub(super) fn redirection(
        &self,
        node: usize,
        asking: bool,
        command: &Command,
    ) -> Option<Reply> {
        if self.topology() != Topology::Cluster {
            return None;
        }
        let keys = keys_of(command);
        let first = keys.first()?;
        let owner = self.primary_node();
        let to = |code: &str, node: usize| {
            let host = DATA_HOSTS[node];
            Some(Reply::error(format!("{code} {SLOT} {host}:{REDIS_PORT}")))
        };
        let moves = match self.nodes(|nodes| match nodes.slot {
            Slot::Served | Slot::OwnerGone => Some(false),
            Slot::Moving { .. } => Some(true),
            Slot::Unserved => None,
        }) {
            Some(moves) => moves,
            None => return Some(Reply::error("CLUSTERDOWN The cluster is down")),
        };
        if node != owner && !(moves && asking) {
            return to("MOVED", owner);
        }
        if !moves {
            return None;
        }
        let now = self.millis();
        let server = self.server(node);
        let server = lock(&server);
        let missing = keys.iter().filter(|key| !has(&server, key, now)).count();
        let is_split = match node == owner {
            true if missing == keys.len() => return to("ASK", 1 - owner),
            true => missing > 0,
            false => missing > 0 && keys.iter().any(|key| key != first),
        };
        let again = "TRYAGAIN Multiple keys request during rehashing of slot";
        is_split.then(|| Reply::error(again))
    }

    /// The slot begins to move to the other node.
    pub(super) fn begin_move(&self, rng: &mut impl Rng) {
        let mut keys: Vec<Bytes> = self.with_redis(|redis| {
            let keys = redis.keyspace().iter();
            keys.map(|(key, _)| key.clone()).collect()
        });
        for place in (1..keys.len()).rev() {
            keys.swap(place, rng.random_range(0..=place));
        }
        let other = self.server(self.other_node());
        lock(&other).restore(&Snapshot::default());
        lock(&other).modes().readonly = false;
        let count = keys.len();
        self.nodes(|nodes| nodes.slot = Slot::Moving { keys, count });
    }

    /// Moves the keys that are due after this part of the time that it takes.
    pub(super) fn go_on_moving(&self, passed: Duration, lasts: Duration) {
        let due = self.nodes(|nodes| match &mut nodes.slot {
            Slot::Moving { keys, count } => {
                let steps = *count as u128 + 1;
                let done = steps * passed.as_nanos() / lasts.as_nanos().max(1);
                let left = count.saturating_sub(usize::try_from(done).unwrap_or(usize::MAX));
                keys.split_off(left.min(keys.len()))
            }
            _ => Vec::new(),
        });
        for key in due.iter().rev() {
            self.move_key(key);
        }
    }

    /// The slot has moved, with all its keys.
    pub(super) fn end_move(&self) {
        if !self.is_moving() {
            return;
        }
        let left: Vec<Bytes> = self.with_redis(|redis| {
            let keys = redis.keyspace().iter();
            keys.map(|(key, _)| key.clone()).collect()
        });
        for key in &left {
            self.move_key(key);
        }
        self.nodes(|nodes| nodes.slot = Slot::Served);
        self.becomes_primary();
        self.locks_have_moved();
    }

    fn move_key(&self, key: &Bytes) {
        let to = self.server(self.other_node());
        let now = self.millis();
        let data = self.with_redis(|redis| {
            let data = has(redis, key, now).then(|| redis.snapshot());
            redis.restore_key(&Snapshot::default(), key);
            data
        });
        if let Some(data) = data {
            lock(&to).restore_key(&data, key);
        }
        let [from, to] = [self.primary_node(), self.other_node()].map(|node| DATA_HOSTS[node]);
        self.trace(|| format!("{from}: {} moves to {to}", String::from_utf8_lossy(key)));
    }
}

/// Whether a server has this key at `now`, in Unix milliseconds.
pub(super) fn has(redis: &Redis, key: &[u8], now: u64) -> bool {
    let keys = redis.keyspace();
    keys.peek(key).is_some() && keys.expires_at(key).is_none_or(|at| at > now)
}
