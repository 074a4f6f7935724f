//! From a plaintext to its token and back: diffs, fences, receipts, and the
//! vault that callers use.
//!
//! A [`TokenStore`] applies mutations of stored tokens, each exactly once, by
//! the fence of a [`VaultStore`]. This module must not know what a store is
//! made of.

mod diff;
mod memory;
mod record;
mod store;
mod token;
mod token_store;
mod view;

pub use diff::{Change, Diff};
pub use memory::MemoryVault;
pub use store::{
    Applied, Attempt, Belief, Due, Fate, Fence, Indexed, Load, Loaded, Mark, Moved, MutationId,
    Page, Patience, VaultStore, Version,
};
pub use token::{InvalidTokenId, InvalidTokenType, Stored, TokenId, TokenType};
pub use token_store::{Done, MutateError, Mutation, TokenStore, TokenStoreConfig, VaultStats};
pub use view::View;
