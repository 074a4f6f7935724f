//! The chain's home in Redis: connection, keys, scripts, lock, readiness.
//!
//! [`RedisAuditStore`] implements [`AuditStore`](crate::audit::AuditStore);
//! how an append came about, and who waits for it, is not known here.

mod audit_store;
mod connect;
mod keys;
mod link;
mod lock;
mod outcome;
mod ready;
mod reply;
pub mod script;

pub use audit_store::{RedisAuditStore, RedisConfig};
pub use connect::Connect;
pub use keys::{AuditKeys, AuditPrefix};
pub use link::{Link, Timeouts};
pub use lock::{Lease, LockPolicy, LockTimes, LockWaits};
pub use ready::{Eviction, NotReady, Readiness};
