//! Encryption for the token vault: envelopes, and the providers of keys.
//!
//! The vault uses a [`CryptoProvider`] and has no access to keys. This module
//! contains one provider, [`LocalKeys`], with keys in a file or in memory; a
//! KMS can implement the trait, and [`conformance::check`] tests it.
//!
//! ```
//! use haechi_store_redis::{
//!     clock::SystemClock,
//!     crypto::{Aad, Counting, CryptoProvider as _, LocalKeys, MemoryKeys, manage},
//!     entropy::SystemEntropy,
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let (clock, entropy) = (SystemClock::new(), SystemEntropy);
//! // `KeyFile::new(path)` in production.
//! let storage = MemoryKeys::new();
//! manage::init(&storage, &clock, &entropy).await?;
//! let keys = LocalKeys::open(storage, clock, entropy, Counting::Persisted).await?;
//!
//! let aad = Aad::from_json(r#"{"purpose":"token-vault","token":"tok_email_0"}"#)?;
//! let envelope = keys.encrypt(b"ada@example.org", &aad, None).await?;
//! assert_eq!(keys.decrypt(&envelope, &aad).await?.as_slice(), b"ada@example.org");
//! keys.close().await?;
//! # Ok(())
//! # }
//! ```
//!
//! No message and no `Debug` of this module contains a key or a plaintext.

mod aad;
mod cached_keys;
mod cipher;
pub mod conformance;
mod document;
mod envelope;
mod error;

mod key_file;
mod local;
pub mod manage;
mod nfkc;
mod provider;
mod storage;

pub use aad::{Aad, InvalidAad};
pub use document::{KeyStatus, Status};
pub use envelope::{Envelope, InvalidEnvelope, UnreadableTime};
pub use error::{DecryptError, EncryptError, KeysError, MacError};
pub use key_file::KeyFile;
pub use local::{Counting, LocalKeys};
pub use provider::{CryptoProvider, KeyId, KeyedMac};
pub use storage::{Changed, KeyStorage, MemoryKeys};
pub use zeroize::Zeroizing;
