//! A tamper-evident audit chain and a token vault that N replicas of a service
//! share in Redis.
//!
//! Each record contains the hash of the one before it; a record is appended by
//! a script in Redis that compares the head's hash and replaces it in one step.
//! So the chain has one order, changing or removing a record breaks every hash
//! after it, and replicas agree through Redis alone.
//!
//! ```
//! use haechi_store_redis::{Builder, chain::Event, test_util::MemoryChain};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // `Builder::new().open_audit(url.parse::<redis::Endpoint>()?).await?` in production.
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
//! - An append ends as applied, *not applied* (neither now nor later),
//!   *unknown* (rarely, with a [`Handle`] by which any process can find out), or
//!   *corrupt state*: see [`AppendError`].
//! - One record per append, and a mutation of the vault once and whole, even if
//!   replies are lost, commands come late, or processes stall.
//! - A process that has seen more than Redis has reports the rollback
//!   ([`Corrupt::RolledBack`]) and writes nothing more, until the loss is
//!   [accepted](Builder::resume); after a restart too, with a [`SeenFile`].
//! - What the vault reveals is in the audit chain before the plaintext is returned.
//! - No plaintext, key or password in messages, logs, metrics or `Debug`.
//! - None of this depends on the Redis lock; see [`redis::LockPolicy`].
//!
//! # What is not
//!
//! **That Redis keeps what it has acknowledged.** [`Builder::durability`] says what has a
//! write before it counts as done, and so what can take an acknowledged write away:
//!
//! | level | lost with |
//! | --- | --- |
//! | [`Memory`](Durability::Memory), the default | the Redis process, its machine, a failover |
//! | [`Fsync`](Durability::Fsync) | the disk, a failover |
//! | [`Replicas`](Durability::Replicas) | the primary and all those replicas, or a failover to another replica |
//!
//! **That nobody changes the chain: only that it is found**, by whom depends on what is kept
//! outside of Redis. The chain has no key.
//!
//! | what is done to Redis | who finds it |
//! | --- | --- |
//! | a record is changed, moved or removed in the middle | whoever [verifies](chain::Verifier) |
//! | the end is cut off, or the whole chain rewritten with valid hashes | who verifies with [anchors](Builder::anchors), up to the last one; a process that has seen what is gone |
//! | the same, and the anchors, too | nobody, unless a copy of the anchors is kept elsewhere |
//! | an older vault is put back | a process that has seen the newer one |
//! | tokens are deleted, or older records of them put back, and nothing else | nobody |
//!
//! **That time is right.** A token is revealed only while the clocks of Redis and of the process
//! are both before its end, and destroyed only when both are past it: whoever sets both back
//! delays its end. Times in records are those of the process that appended.
//!
//! **That the key file is safe to lose or to leak.** Without it no token can be revealed. Its thief reads
//! every plaintext whose ciphertext he can get from any copy of Redis, also after a rotation,
//! and with write access to Redis can accept a loss in the replicas' name. The reveal policy
//! is enforced by the process; whoever has the key file can decrypt without it.
//!
//! `docs/guarantees.md` and `SECURITY.md` in the package have all of it, and the tests.
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
//!
//! Features: `tls`; `tracing` and `metrics`, which report appends, batches, mutations and
//! dials, and never their contents; `cli`, the program; and `test-util`: the module
//! `test_util`, stores with hooks, for tests.
#![forbid(unsafe_code)]

pub mod audit;
mod blocking;
mod builder;
pub mod chain;
pub mod clock;
pub mod crypto;
mod durability;
pub mod entropy;
mod error;
mod files;
mod health;
pub mod redis;
mod resume;
mod seen;
mod sync;
mod telemetry;
#[cfg(any(test, feature = "test-util"))]
pub mod test_util;
pub mod vault;

pub use blocking::{RunBlocking, Work, Working};
pub use builder::{Builder, RedisTokenVault};
pub use durability::{Durability, DurabilityStatus};
pub use error::{
    AppendError, AttemptError, Cause, Corrupt, Handle, InvalidHandle, NotApplied, ReadError,
    RolledBack,
};
pub use health::Health;
pub use redis::OpenError;
pub use resume::ResumeError;
pub use seen::{SeenFile, SeenMedium};
#[cfg(feature = "metrics")]
pub use telemetry::{METRICS, Metric, MetricKind, describe_metrics};

// The Rust of README and of the pages in `docs`, built as documentation tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;
#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook/npm.md")]
struct Npm;
#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook/service.md")]
struct Service;
#[cfg(doctest)]
#[doc = include_str!("../docs/cookbook/verify.md")]
struct Verify;
