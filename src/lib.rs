//! A tamper-evident audit chain and a token vault that N replicas of a service
//! share in Redis.
//!
//! Each record carries the hash of the one before it; a record is appended by
//! a script inside Redis that compares the head's hash and moves it in one
//! step. So the chain has one order, nobody can change or remove a record
//! without breaking every hash after it, and replicas need nothing but Redis
//! to agree.
//!
//! ```
//! use haechi_store_redis::{Builder, chain::Event, test_util::MemoryChain};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `Builder::new().open_audit(redis::Client::open(url)?).await?` in production.
//! let sink = Builder::new().audit_sink(MemoryChain::new());
//!
//! let first = sink.record(Event::from_json(r#"{"id":"e1","operation":"protect"}"#)?);
//! let second = sink.record(Event::from_json(r#"{"id":"e2","operation":"reveal"}"#)?);
//! assert_eq!(second.await?.position.sequence.get(), 2);
//! assert_eq!(first.await?.position.sequence.get(), 1);
//! # Ok(())
//! # }
//! ```
//!
//! # What is promised
//!
//! - An append ends as applied, *not applied* (never, whatever is still on
//!   its way), *unknown* (the last resort, with a [`Handle`]), or *corrupt
//!   state*: see [`AppendError`].
//! - One record an append, whatever replies are lost.
//! - A process that had seen what Redis has lost says so
//!   ([`Corrupt::RolledBack`]) and appends nothing more.
//! - The Redis lock is never needed for any of this; see
//!   [`redis::LockPolicy`].
//!
//! # What is not
//!
//! That Redis keeps what it has acknowledged: an acknowledgement means that
//! the primary holds the record in memory.
//!
//! # Modules
//!
//! - [`Builder`]: opens the audit chain and the token vault over one client.
//! - [`chain`]: events, records, verification: arithmetic without I/O.
//! - [`audit`]: the [`AuditSink`](audit::AuditSink) that callers use; what
//!   another backend implements is in [`audit::store`].
//! - [`vault`]: the [`TokenVault`](vault::TokenVault) that callers use; what
//!   another backend implements is in [`vault::store`].
//! - [`crypto`]: who holds the keys of the token vault: a key file, or a KMS
//!   through [`CryptoProvider`](crypto::CryptoProvider).
//! - [`redis`]: both stores over Redis, whether Redis is
//!   [ready](redis::RedisAuditStore::ready) for them, and the client crate,
//!   re-exported as [`redis::client`].
//! - [`clock`] and [`entropy`]: the two inputs that a simulation replaces.
//! - `test_util`, with the feature of that name: stores with hooks, for tests.
#![forbid(unsafe_code)]

pub mod audit;
mod builder;
pub mod chain;
pub mod clock;
pub mod crypto;
pub mod entropy;
mod error;
pub mod redis;
mod sync;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
pub mod vault;

pub use builder::{Builder, RedisTokenVault};
pub use error::{
    AppendError, AttemptError, Cause, Corrupt, Handle, InvalidHandle, NotApplied, ReadError,
    RolledBack,
};
pub use redis::OpenError;
