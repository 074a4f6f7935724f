//! Of each loss: which processes had seen what it took, and which of them said so.

use std::collections::BTreeMap;

use crate::{History, Symbol};

use super::{silent_rollback, tree, vault, view};

/// What the processes did that had seen what one loss took.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LossAccount {
    /// Those that said that it is gone, and wrote nothing before that.
    pub said: u64,
    /// Those that wrote nothing acknowledged afterwards, and did not say so.
    pub idle: u64,
    /// Those that went on writing without saying so: `silent_rollback`.
    pub silent: u64,
}

impl LossAccount {
    /// All that had seen what the loss took.
    pub fn seen(self) -> u64 {
        self.said + self.idle + self.silent
    }

    /// Adds another loss.
    pub fn add(&mut self, other: Self) {
        self.said += other.said;
        self.idle += other.idle;
        self.silent += other.silent;
    }
}

/// What became of one sight of something that was lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Told {
    Idle,
    Said,
    Silent,
}

/// By process and loss, what became of the sight.
pub(super) type Sights = BTreeMap<(Symbol, usize), Told>;

/// The account of each loss, in order. A process counts once, with the worse of what it
/// did with the chain and with the vault. A half without final state counts for nothing.
pub fn account(history: &History) -> Vec<LossAccount> {
    let mut accounts = vec![LossAccount::default(); history.losses().len()];
    if accounts.is_empty() {
        return accounts;
    }
    let mut told = Sights::new();
    if let Some(chain) = history.chain() {
        let view = view::View::new(history, chain);
        let tree = tree::Tree::new(&view);
        told = silent_rollback::sights(&view, &tree);
    }
    for (sight, vault) in vault::sights(history) {
        let both = told.entry(sight).or_insert(vault);
        *both = vault.max(*both);
    }
    for ((_, loss), told) in told {
        let account = &mut accounts[loss];
        match told {
            Told::Said => account.said += 1,
            Told::Idle => account.idle += 1,
            Told::Silent => account.silent += 1,
        }
    }
    accounts
}
