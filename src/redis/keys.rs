//! The names of the keys, from a prefix.

use std::fmt;

macro_rules! prefix {
    ($name:ident, $default:literal, $what:literal) => {
        #[doc = concat!("The prefix of the keys of one ", $what, ".")]
        #[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize)]
        pub struct $name(String);

        impl $name {
            /// The prefix unless another is chosen.
            pub const DEFAULT: &'static str = $default;

            /// A prefix, used without a separator.
            #[must_use]
            pub fn new(prefix: impl Into<String>) -> Self {
                Self(prefix.into())
            }

            /// Whether all keys with the prefix are in one slot of a Redis
            /// Cluster: whether it contains a hash tag, a non-empty `{…}`.
            #[must_use]
            pub fn is_tagged(&self) -> bool {
                self.0
                    .split_once('{')
                    .and_then(|(_, rest)| rest.find('}'))
                    .is_some_and(|length| length > 0)
            }

            /// The whole prefix as a hash tag.
            #[must_use]
            pub fn tagged(&self) -> Self {
                Self(format!("{{{}}}:", self.0.trim_end_matches(':')))
            }

            /// Why a cluster would not serve the keys together, if it would not.
            pub(super) fn crosses_slots(&self) -> Option<String> {
                (!self.is_tagged()).then(|| {
                    format!(
                        "the keys under {self} lie in different slots of this cluster; \
                         use a prefix with a hash tag, such as {}",
                        self.tagged()
                    )
                })
            }
        }

        impl Default for $name {
            fn default() -> Self {
                Self::new(Self::DEFAULT)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    };
}

prefix!(AuditPrefix, "haechi:audit:", "audit chain");
prefix!(VaultPrefix, "haechi:tv:", "token vault");

/// The full keys of one audit chain.
#[derive(Clone, Debug)]
pub struct AuditKeys {
    /// Their prefix.
    pub prefix: AuditPrefix,
    /// LIST: the records, in order.
    pub chain: String,
    /// STRING: the last record's `auditIntegrity`.
    pub head: String,
    /// STRING: the last record's `eventHash`: the fence.
    pub head_hash: String,
    /// STRING with a TTL: the contention lock.
    pub lock: String,
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
            prefix,
        }
    }

    /// The keys that the fence compares and sets, in the scripts' order.
    #[must_use]
    pub fn fenced(&self) -> [&str; 3] {
        [&self.chain, &self.head, &self.head_hash]
    }
}

/// The full keys of one token vault.
#[derive(Clone, Debug)]
pub struct VaultKeys {
    /// Their prefix.
    pub prefix: VaultPrefix,
    /// HASH: token id → token record.
    pub tokens: String,
    /// STRING: the number of mutations so far: the fence of the whole-snapshot
    /// protocol.
    pub version: String,
    /// STRING with a TTL: the contention lock.
    pub lock: String,
    /// HASH: mutation id → receipt.
    pub receipts: String,
    /// ZSET: token id by the time it expires; advisory.
    pub expiry: String,
}

impl VaultKeys {
    /// The keys under `prefix`.
    #[must_use]
    pub fn new(prefix: VaultPrefix) -> Self {
        Self {
            tokens: format!("{prefix}tokens"),
            version: format!("{prefix}version"),
            lock: format!("{prefix}lock"),
            receipts: format!("{prefix}receipts"),
            expiry: format!("{prefix}expiry"),
            prefix,
        }
    }

    /// Those that a mutation changes, in the scripts' order.
    ///
    /// The lock is not among them: where a script declares a key that is absent, a
    /// cluster refuses it for as long as the slot moves.
    #[must_use]
    pub fn fenced(&self) -> [&str; 4] {
        [&self.tokens, &self.version, &self.receipts, &self.expiry]
    }
}
