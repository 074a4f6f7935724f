//! The mutation that the models of the vault run: it counts in a token.

use std::time::Duration;

use haechi_store_redis::{
    test_util::{InstantClock, SplitMixEntropy},
    vault::{Done, MutateError, TokenId, TokenStore, VaultConfig, View},
};
use loom::future::block_on;

use crate::vault::{Replica, Vault};

/// A token store.
pub(crate) type Tokens = TokenStore<Replica, InstantClock, SplitMixEntropy>;

/// The token store of the replica with this number.
pub(crate) fn tokens(replica: Replica, number: u64) -> Tokens {
    let mut config = VaultConfig::default();
    // The clock stands still, so the deadline only affects a request that gets no
    // reply.
    config.deadline = Duration::from_millis(100);
    TokenStore::new(replica, InstantClock, SplitMixEntropy::new(number), config)
}

pub(crate) fn counter(name: &str) -> Result<TokenId, String> {
    TokenId::new(name).map_err(|error| error.to_string())
}

fn count_in(view: &mut View, token: &TokenId) -> i64 {
    view.get(token)
        .and_then(|value| std::str::from_utf8(value.bytes()).ok()?.parse().ok())
        .unwrap_or(0)
}

/// Adds to a token, in a mutation of its own, and returns the sum.
pub(crate) fn add(tokens: &Tokens, token: &TokenId, amount: i64) -> Result<Done<i64>, MutateError> {
    block_on(tokens.transaction([token.clone()], |view: &mut View| {
        let sum = count_in(view, token) + amount;
        // A sum of zero deletes the token, like an absent one.
        if sum == 0 {
            view.delete(token);
        } else {
            view.set(token, sum.to_string());
        }
        sum
    }))
}

/// The count in the vault.
pub(crate) fn count(vault: &Vault, token: &TokenId) -> i64 {
    vault
        .value(token)
        .and_then(|value| std::str::from_utf8(value.bytes()).ok()?.parse().ok())
        .unwrap_or(0)
}
