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
pub(crate) use foreign::run as run_foreign;
pub(super) use judge::vault as final_vault;
pub(crate) use secrets::Safe;
pub(super) use secrets::{PLAINTEXT, Secrets};

use super::{config::Config, host::Host, ledger::Ledger};
use crate::mutants::{StoreUnderTest, VaultUnderTest};
use noted::Noted;

/// The store of one process.
pub(super) type Tokens<H> = TokenStore<Noted<StoreOf<H>>, <H as Host>::Clock, <H as Host>::Entropy>;

/// What that store is made over.
type StoreOf<H> = VaultUnderTest<<H as Host>::Connect, <H as Host>::Clock, <H as Host>::Entropy>;

/// What the simulated vault is called in Redis.
pub(super) fn prefix() -> VaultPrefix {
    VaultPrefix::default()
}

/// Opens the vault for one process.
pub(super) fn open<H: Host>(
    shared: &Ledger,
    config: &Config,
    store: &StoreUnderTest,
    connect: H::Connect,
    clock: H::Clock,
    entropy: H::Entropy,
) -> Tokens<H> {
    let redis = RedisVaultStore::new(
        connect,
        RedisVaultConfig {
            prefix: prefix(),
            timeouts: config.store_timeouts(),
            lock: store.vault_lock(config.lock_policy()),
        },
        clock.clone(),
        entropy.clone(),
    );
    let (deadline, foreign_lock_wait) = config
        .vault
        .as_ref()
        .map_or((config.deadline, 250), |vault| {
            (vault.deadline, vault.foreign_lock_wait)
        });
    TokenStore::new(
        Noted::new(store.open_vault(redis), shared.clone()),
        clock,
        entropy,
        TokenStoreConfig {
            deadline: Duration::from_millis(deadline),
            foreign_lock_wait: Duration::from_millis(foreign_lock_wait),
        },
    )
}
