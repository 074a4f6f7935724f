//! The token vault.

mod contract;
mod receipts;
mod refusals;

use haechi_store_redis::vault::{Diff, Stored, TokenId};

fn token(name: &str) -> TokenId {
    TokenId::new(name).unwrap()
}

/// A diff from names and values; `None` deletes.
fn diff(changes: &[(&str, Option<&str>)]) -> Diff {
    changes
        .iter()
        .map(|(name, value)| (token(name), value.map(Stored::from)))
        .collect()
}
