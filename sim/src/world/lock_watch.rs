//! Watches the contention locks in the simulated Redis: each is bounded in time, is
//! released by its holder only, and the vault's is left free for a while in every
//! second of the server's clock.

use redis_sim::{Keyspace, Value};

use super::tenures::{Moment, Tenure, Tenures};

/// How long the vault's lock is left free in every second, at least.
const FREE_MS: u64 = 25;
/// The vault's locks of this store begin with this.
const OWN: &[u8] = b"own:";

/// One lock's key, and who holds it.
pub(super) struct LockWatch {
    key: String,
    /// Whether it is the vault's.
    is_vault: bool,
    /// The longest TTL of a lock of this store.
    ttl: u64,
    held: Option<Held>,
    tenures: Tenures,
}

#[derive(Clone, PartialEq, Eq)]
struct Held {
    token: Vec<u8>,
    /// When it expires, in Unix milliseconds.
    until: u64,
    /// The process that took it; `None` if a fault did.
    holder: Option<usize>,
}

impl LockWatch {
    pub(super) fn new(key: String, is_vault: bool, ttl: u64) -> Self {
        Self {
            key,
            is_vault,
            ttl,
            held: None,
            tenures: Tenures::default(),
        }
    }

    /// Whether it is the vault's, and who had it.
    pub(super) fn finish(&mut self, at: Moment) -> (bool, Vec<Tenure>) {
        (self.is_vault, self.tenures.finish(at))
    }

    /// The lock has moved; whoever has it may release it.
    pub(super) fn has_moved(&mut self, keys: &Keyspace, at: Moment) {
        self.held = self
            .look(keys, None, at)
            .map(|found| Held { until: 0, ..found });
    }

    /// A fault may have changed the lock.
    pub(super) fn changed_by_fault(&mut self, keys: &Keyspace, at: Moment) {
        let before = self.held.take();
        let is_same = |found: &Held| {
            before
                .as_ref()
                .is_some_and(|held| held.token == found.token)
        };
        self.held = self.look(keys, None, at).map(|found| Held {
            holder: before
                .as_ref()
                .filter(|_| is_same(&found))
                .and_then(|held| held.holder),
            ..found
        });
    }

    /// A replica, or a process that follows the reference's protocol, may have
    /// changed the lock by a command; returns what it did wrong.
    pub(super) fn after(
        &mut self,
        keys: &Keyspace,
        at: Moment,
        process: usize,
        is_replica: bool,
    ) -> Option<String> {
        let found = self.look(keys, Some(process), at);
        let now = at.server;
        let before = self.held.take();
        let is_same = |held: &Held| {
            found
                .as_ref()
                .is_some_and(|found| found.token == held.token)
        };
        if before.as_ref().is_some_and(is_same) {
            self.held = before;
            return None;
        }
        self.held.clone_from(&found);
        let key = &self.key;
        if let Some(held) = before.filter(|held| now < held.until && held.holder != Some(process)) {
            let whose = held
                .holder
                .map_or("a fault's".to_owned(), |holder| format!("r{holder}'s"));
            return Some(format!("r{process} released {whose} lock {key}"));
        }
        let found = found.filter(|_| is_replica)?;
        let ttl = found.until.saturating_sub(now);
        if ttl == 0 || ttl > self.ttl {
            return Some(format!("r{process} took the lock {key} for {ttl} ms"));
        }
        let millisecond = now % 1000;
        let is_late = millisecond + ttl > 1000;
        if self.is_vault && (!found.token.starts_with(OWN) || millisecond < FREE_MS || is_late) {
            return Some(format!(
                "r{process} took the lock {key} at millisecond {millisecond} for {ttl} ms"
            ));
        }
        None
    }

    /// Who has the lock, if `holder` took it.
    fn look(&mut self, keys: &Keyspace, holder: Option<usize>, at: Moment) -> Option<Held> {
        let found = match keys.peek(self.key.as_bytes()) {
            Some(Value::Text(token)) => Some(Held {
                token: token.to_vec(),
                until: keys.expires_at(self.key.as_bytes()).unwrap_or(u64::MAX),
                holder,
            }),
            _ => None,
        };
        let seen = found.as_ref().map(|held| (&*held.token, held.until));
        self.tenures.see(seen, holder, at);
        found
    }
}
