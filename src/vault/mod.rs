//! The token vault: from a plaintext to its token and back, with diffs, fences
//! and receipts.
//!
//! A [`TokenVault`] makes and opens token records, with a
//! [`CryptoProvider`](crate::crypto::CryptoProvider), and audits what it
//! returns; a [`TokenStore`] applies mutations of stored tokens, each exactly
//! once, by the fence of a [`VaultStore`](store::VaultStore). This module does
//! not depend on any particular store.
//!
//! ```
//! use haechi_store_redis::{
//!     Builder,
//!     clock::SystemClock,
//!     crypto::{Counting, LocalKeys, MemoryKeys, manage},
//!     entropy::SystemEntropy,
//!     vault::{Details, RevealPolicy, TokenType, VaultPolicy},
//!     test_util::{MemoryChain, MemoryVault},
//! };
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! // In production: `KeyFile::new(path)`, made by `haechi-store keys init`,
//! // and `builder.vault_store(url.parse::<redis::Endpoint>()?)`.
//! let storage = MemoryKeys::new();
//! manage::init(&storage, &SystemClock::new(), &SystemEntropy).await?;
//! let keys = LocalKeys::open(storage, SystemClock::new(), SystemEntropy, Counting::Persisted);
//! let mut policy = VaultPolicy::default();
//! policy.reveal = RevealPolicy::Allowed("local-dev".to_owned());
//! let builder = Builder::new();
//! let audit = Builder::new().audit_sink(MemoryChain::new());
//! let vault = builder.token_vault(MemoryVault::new(), keys.await?.into(), audit, policy);
//!
//! let email = TokenType::new("email")?;
//! let made = vault.tokenize(&email, "anna@example.com", Details::default()).await?;
//! assert!(made.token.as_str().starts_with("tok_email_"));
//! let revealed = vault.reveal(made.token.as_str(), None).await?;
//! assert_eq!(revealed.expose(), "anna@example.com");
//! # Ok(())
//! # }
//! ```

mod admission;
mod audit;
mod audit_event;
mod clocks;
mod context;
mod diff;
mod driver;
mod identity;
mod list;
mod mutation;
mod object;
mod plaintext;
mod policy;
mod purge;
mod receipt;
mod record;
mod resolve;
mod resume;
mod reveal;
mod slice;
pub mod store;
mod tasks;
mod token;
mod token_store;
mod token_vault;
mod tokenize;
mod view;

pub use context::{VaultConfig, VaultStats};
pub use identity::{Identity, InvalidIdentity};
pub use list::{Listing, Quarantined, TokenMetadata};
pub use mutation::{Done, MutateError, Mutation};
pub use object::{InvalidObject, JsonObject};
pub use plaintext::Plaintext;
pub use policy::{
    Deterministic, InvalidRetention, MAX_PLAINTEXT, Retention, RevealPolicy, VaultPolicy,
};
pub use purge::{Pruned, Purged, PurgedToken};
pub use resolve::resolve;
pub use resume::VaultResumeError;
pub use store::{InvalidReceiptHandle, MutationId, ReceiptHandle, Version};
pub use tasks::{Spawn, Task};
pub use token::{InvalidTokenId, InvalidTokenType, Stored, TokenId, TokenType};
pub use token_store::TokenStore;
pub use token_vault::{
    Details, DetokenizeError, InvalidInput, PurgeError, Refusal, Restored, RevealError, TokenVault,
    TokenizeError, Tokenized,
};
pub use view::View;
