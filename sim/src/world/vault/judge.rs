//! Looks at the vault in Redis when all is over, with nothing in between.

use haechi_store_redis::redis::VaultKeys;

use crate::world::judge::{Ask, text};
use redis_sim::Reply;

/// The tokens and the version for the history.
pub(crate) struct FinalVault {
    pub(crate) tokens: Vec<(String, String)>,
    pub(crate) version: u64,
}

/// What stands under the vault's keys.
pub(crate) fn vault(ask: Ask<'_>, keys: &VaultKeys) -> FinalVault {
    let mut tokens = Vec::new();
    if let Reply::Array(pairs) = ask(&["HGETALL", &keys.tokens]) {
        let mut words = pairs.into_iter().filter_map(text);
        while let (Some(token), Some(value)) = (words.next(), words.next()) {
            tokens.push((token, value));
        }
    }
    let version = text(ask(&["GET", &keys.version]));
    FinalVault {
        tokens,
        version: version
            .and_then(|version| version.parse().ok())
            .unwrap_or(0),
    }
}
