//! The vault's part of a world's knobs.

use std::fmt;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};
use strum::{Display, VariantArray};

/// What the replicas of a world do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, Display, clap::ValueEnum,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Workload {
    /// Append to the audit chain, and read it.
    Audit,
    /// Change the tokens of a vault, and read them.
    Vault,
    /// Both, on one Redis.
    #[default]
    Mixed,
}

impl Workload {
    /// Whether there is a chain.
    #[must_use]
    pub fn has_chain(self) -> bool {
        self != Self::Vault
    }

    /// Whether there is a vault.
    #[must_use]
    pub fn has_vault(self) -> bool {
        self != Self::Audit
    }
}

/// What a caller of the vault may do next; the weights are drawn for each
/// world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, VariantArray)]
#[expect(
    missing_docs,
    reason = "the operations that are drawn say what they are"
)]
pub enum VaultAction {
    Count,
    Several,
    Drop,
    Create,
    Purge,
    Sweep,
    Refresh,
    Own,
    Tokenize,
    Reveal,
    PurgeKnown,
    PurgeExpired,
    Peek,
    Read,
}

/// A dozen round trips between hosts whose clocks tick every 5 ms.
const MIN_DEADLINE_MS: u64 = 120;

/// What a loaded vault has at least to be a large one.
pub(crate) const LARGE: usize = 10_000;
/// With what a world adds, a vault that is still read at once.
pub(super) const MOST_LOADED: usize = 99_000;

/// Everything about a vault that is fixed before its world starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultKnobs {
    /// Processes besides the replicas that follow the reference's
    /// whole-snapshot protocol.
    pub foreign: usize,
    /// Operations that are drawn for each of them.
    #[serde(skip)]
    pub foreign_ops: usize,
    /// Tokens that all processes contend for.
    pub tokens: usize,
    /// How long a mutation may take, in milliseconds.
    pub deadline: u64,
    /// How long tokens are kept, in days.
    pub retention: f64,
    /// How many receipts Redis keeps.
    #[serde(default = "all_receipts", skip_serializing_if = "are_all")]
    pub receipts: u64,
    /// How long a mutation waits for foreign locks, in milliseconds.
    #[serde(rename = "patience")]
    pub foreign_lock_wait: u64,
    /// Tokens that are there before the world begins.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub loaded: usize,
    /// The weight of each action when operations are drawn.
    #[serde(skip)]
    pub mix: Vec<u32>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// As many as production keeps.
fn all_receipts() -> u64 {
    10_000
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn are_all(receipts: &u64) -> bool {
    *receipts == all_receipts()
}

impl VaultKnobs {
    /// No receipt goes while the world lasts.
    pub(crate) fn keep_all_receipts(&mut self) {
        self.receipts = all_receipts();
    }

    /// Draws how many tokens are there before, if that is not `given`: in one world of
    /// three hundred a large vault, in one of forty some hundreds.
    pub(crate) fn load(&mut self, rng: &mut impl Rng, given: Option<usize>) {
        self.loaded = given.unwrap_or_else(|| match rng.random_range(0..1200) {
            0..2 => rng.random_range(30_000..=MOST_LOADED),
            2..4 => rng.random_range(LARGE..=30_000),
            4..34 => rng.random_range(100..=2000),
            _ => 0,
        });
        self.loaded = self.loaded.min(MOST_LOADED);
        if self.loaded == 0 {
            return;
        }
        // They read the whole vault at each mutation.
        self.foreign = 0;
        if self.loaded < LARGE {
            return;
        }
        // What reads the whole vault becomes rare.
        for (action, weight) in VaultAction::VARIANTS.iter().zip(&mut self.mix) {
            let reads_all = [
                VaultAction::Sweep,
                VaultAction::Read,
                VaultAction::PurgeExpired,
            ];
            *weight = if reads_all.contains(action) {
                1
            } else {
                *weight * 20
            };
        }
    }

    /// Draws a vault. `quiet`: no fault will strike; `deadline`: the world's.
    pub(crate) fn draw(rng: &mut impl Rng, ops: usize, quiet: bool, deadline: u64) -> Self {
        let mut mix: Vec<u32> = VaultAction::VARIANTS
            .iter()
            .map(|_| [0, 1, 1, 2, 6][rng.random_range(0..5)])
            .collect();
        // Every world writes something.
        mix[VaultAction::Count as usize] += 1;
        mix[VaultAction::Own as usize] += 2;
        let foreign_lock_wait = [20, 100, 250, 250][rng.random_range(0..4)];
        Self {
            foreign: [0, 0, 1, 1, 2][rng.random_range(0..5)],
            foreign_ops: ops.div_ceil(4),
            // Few digits, so that it does not change when it is read back.
            retention: f64::from(rng.random_range(50..300_u32)) / 100.0,
            // Time for the lock, the scripts' loading and the receipt: with
            // less, every mutation would end as unknown.
            deadline: deadline.max(MIN_DEADLINE_MS),
            tokens: [1, 2, 4, 8][rng.random_range(0..4)],
            receipts: [1, 8, 20, 50, 200, all_receipts()][rng.random_range(0..6)],
            // The promise to foreign writers is for the default wait.
            foreign_lock_wait: if quiet { 250 } else { foreign_lock_wait },
            loaded: 0,
            mix,
        }
    }

    /// Draws what a caller does next.
    pub(super) fn draw_action(&self, rng: &mut impl Rng) -> VaultAction {
        let mut drawn = rng.random_range(0..self.mix.iter().sum::<u32>().max(1));
        for (action, weight) in VaultAction::VARIANTS.iter().zip(&self.mix) {
            if drawn < *weight {
                return *action;
            }
            drawn -= weight;
        }
        VaultAction::Count
    }
}

impl fmt::Display for VaultKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} contended tokens, {} foreign writers x {} mutations, deadline {} ms, waits {} ms for foreign locks, retention {:.2} days, {} receipts",
            self.tokens,
            self.foreign,
            self.foreign_ops,
            self.deadline,
            self.foreign_lock_wait,
            self.retention,
            self.receipts
        )?;
        if self.loaded > 0 {
            write!(f, ", {} tokens loaded before", self.loaded)?;
        }
        write!(f, ", mix")?;
        for (action, weight) in VaultAction::VARIANTS.iter().zip(&self.mix) {
            write!(f, " {action:?} {weight}")?;
        }
        Ok(())
    }
}
