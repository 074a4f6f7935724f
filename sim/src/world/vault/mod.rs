//! The vault's part of a world: the production token store under callers that
//! contend for few tokens, foreign writers, and what the history hears of both.

mod calls;
mod foreign;
mod judge;
mod knobs;
mod noted;
pub(super) mod notes;
mod record;
mod secret_calls;
mod secrets;

use std::time::Duration;

use haechi_store_redis::{
    redis::{RedisVaultConfig, RedisVaultStore, VaultPrefix},
    vault::{TokenStore, TokenStoreConfig},
};

pub use knobs::{Action, VaultKnobs, Workload};

pub(super) use calls::Caller;
pub(super) use foreign::run as run_foreign;
pub(super) use judge::vault as final_vault;
pub(super) use secrets::{PLAINTEXT, Safe, Secrets};

use super::{
    clock::{SeededEntropy, SimClock},
    config::Config,
    net::SimConnect,
    shared::Shared,
};
use crate::mutants::{Variant, VaultUnderTest};
use noted::Noted;

/// The store of one process.
pub(super) type Tokens = TokenStore<Noted<VaultUnderTest>, SimClock, SeededEntropy>;

/// What the simulated vault is called in Redis.
pub(super) fn prefix() -> VaultPrefix {
    VaultPrefix::default()
}

/// Opens the vault for one process.
pub(super) fn open(
    shared: &Shared,
    config: &Config,
    variant: Variant,
    connect: SimConnect,
    clock: SimClock,
    entropy: SeededEntropy,
) -> Tokens {
    let redis = RedisVaultStore::new(
        connect,
        RedisVaultConfig {
            prefix: prefix(),
            timeouts: config.store_timeouts(),
            lock: variant.vault_lock(config.lock_policy()),
        },
        clock.clone(),
        entropy.clone(),
    );
    let (deadline, patience) = config
        .vault
        .as_ref()
        .map_or((config.deadline, 250), |vault| {
            (vault.deadline, vault.patience)
        });
    TokenStore::new(
        Noted::new(VaultUnderTest::new(variant, redis), shared.clone()),
        clock,
        entropy,
        TokenStoreConfig {
            deadline: Duration::from_millis(deadline),
            patience: Duration::from_millis(patience),
        },
    )
}
