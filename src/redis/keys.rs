//! The names of the keys: one prefix, one store.

use std::fmt;

/// The prefix of the keys of one audit chain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditPrefix(String);

impl AuditPrefix {
    /// The prefix unless another is chosen.
    pub const DEFAULT: &'static str = "haechi:audit:";

    /// A prefix, used as it is: no separator is added.
    #[must_use]
    pub fn new(prefix: impl Into<String>) -> Self {
        Self(prefix.into())
    }

    /// Whether the prefix pins all its keys to one slot of a Redis Cluster:
    /// whether it carries a hash tag, `{…}` with something in it.
    #[must_use]
    pub fn is_tagged(&self) -> bool {
        self.0
            .split_once('{')
            .and_then(|(_, rest)| rest.find('}'))
            .is_some_and(|length| length > 0)
    }

    /// The same prefix with all of it made the hash tag.
    #[must_use]
    pub fn tagged(&self) -> Self {
        Self(format!("{{{}}}:", self.0.trim_end_matches(':')))
    }
}

impl Default for AuditPrefix {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

impl fmt::Display for AuditPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The keys of one audit chain, in full.
#[derive(Clone, Debug)]
pub struct AuditKeys {
    /// What they all begin with.
    pub prefix: AuditPrefix,
    /// LIST: the records, in order.
    pub chain: String,
    /// STRING: the last record's `auditIntegrity`.
    pub head: String,
    /// STRING: the last record's `eventHash`: the fence.
    pub head_hash: String,
    /// STRING with a time to live: the contention lock.
    pub lock: String,
    /// STRING with a time to live: the one key that a readiness check writes.
    pub ready_probe: String,
}

impl AuditKeys {
    /// The keys under `prefix`.
    #[must_use]
    pub fn new(prefix: AuditPrefix) -> Self {
        Self {
            chain: format!("{prefix}chain"),
            head: format!("{prefix}head"),
            head_hash: format!("{prefix}head:hash"),
            lock: format!("{prefix}lock"),
            ready_probe: format!("{prefix}ready:probe"),
            prefix,
        }
    }

    /// The keys that the fence compares and sets, as the scripts take them.
    #[must_use]
    pub fn fenced(&self) -> [&str; 3] {
        [&self.chain, &self.head, &self.head_hash]
    }
}
