//! Chain and vault in Redis: connection, keys, scripts, lock, readiness.
//!
//! [`RedisAuditStore`] implements
//! [`AuditStore`](crate::audit::store::AuditStore), [`RedisVaultStore`]
//! [`VaultStore`](crate::vault::store::VaultStore). They do not depend on who
//! appends or tokenizes.

mod audit_store;
mod connect;
mod durable;
mod endpoint;
mod keys;
mod link;
mod lock;
mod outcome;
mod reader;
mod ready;
mod reply;
pub mod script;
mod vault_reply;
mod vault_store;

/// The client crate `redis`, version 1, with its tokio connections. [`Connect`]
/// is implemented for its [`Client`](client::Client); through this re-export,
/// code uses the version that the store was built with.
pub use redis as client;

pub use audit_store::{RedisAuditConfig, RedisAuditStore};
pub use connect::Connect;
pub use endpoint::{
    Cluster, Credentials, Endpoint, Guarded, NodeAddress, Nodes, Sentinel, SentinelTimes,
};
pub use keys::{AuditKeys, AuditPrefix, VaultKeys, VaultPrefix};
pub use link::{Link, Timeouts};
pub use lock::{Lease, LockPolicy, LockTimes, LockWaits};
pub use reader::{ChainReader, ServerRole};
pub(crate) use ready::Unfit;
pub use ready::{Eviction, NotReady, OpenError, Readiness};
pub use vault_store::{RedisVaultConfig, RedisVaultStore};
