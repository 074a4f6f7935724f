//! What a seed decides about the vault's part of a world.

use std::{fmt, str::FromStr};

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// What the replicas of a world do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

    /// The name on the command line.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Audit => "audit",
            Self::Vault => "vault",
            Self::Mixed => "mixed",
        }
    }
}

impl FromStr for Workload {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        [Self::Audit, Self::Vault, Self::Mixed]
            .into_iter()
            .find(|workload| workload.name() == name)
            .ok_or_else(|| format!("{name:?} is no workload; there are audit, vault and mixed"))
    }
}

macro_rules! actions {
    ($($action:ident: $what:literal;)+) => {
        /// What a caller of the vault may do next.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum Action {
            $(#[doc = $what] $action,)+
        }

        impl Action {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$action,)+];
        }
    };
}

actions! {
    Count: "read, change and write one contended token";
    Several: "set some contended tokens and delete others, in one diff";
    Drop: "delete some contended tokens";
    Create: "set a contended token if it is absent";
    Purge: "delete one contended token if it is there";
    Sweep: "delete whatever has expired, looking at the whole vault";
    Refresh: "put off the expiry of a contended token";
    Own: "change a token that nobody else changes";
    Tokenize: "have a plaintext made a token, random or deterministic";
    Reveal: "have tokens made plaintexts again, one or many";
    PurgeKnown: "purge a token that was made here";
    PurgeExpired: "purge all that has expired, by the index";
    Peek: "read some contended tokens";
    Read: "read the whole vault";
}

/// A dozen round trips between hosts whose clocks tick every 5 ms.
const LEAST_DEADLINE_MS: u64 = 120;

/// Everything about a vault that is fixed before its world starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VaultKnobs {
    /// Processes, beside the replicas, that follow the reference's
    /// whole-snapshot protocol.
    pub foreign: usize,
    /// Operations that are drawn for each of them.
    #[serde(skip)]
    pub foreign_ops: usize,
    /// Tokens that everybody contends for.
    pub tokens: usize,
    /// How long a mutation may take, in milliseconds.
    pub deadline: u64,
    /// How long tokens are kept, in days.
    pub retention: f64,
    /// How long a mutation waits for foreign locks, in milliseconds.
    #[serde(rename = "patience")]
    pub foreign_lock_wait: u64,
    /// The weight of each action when operations are drawn.
    #[serde(skip)]
    pub mix: Vec<u32>,
}

impl VaultKnobs {
    /// Draws a vault; `quiet` if no fault will strike, `deadline` is the
    /// world's.
    pub(crate) fn draw(rng: &mut impl Rng, ops: usize, quiet: bool, deadline: u64) -> Self {
        let mut mix: Vec<u32> = Action::ALL
            .iter()
            .map(|_| [0, 1, 1, 2, 6][rng.random_range(0..5)])
            .collect();
        // Something has to be written.
        mix[Action::Count as usize] += 1;
        mix[Action::Own as usize] += 2;
        let foreign_lock_wait = [20, 100, 250, 250][rng.random_range(0..4)];
        Self {
            foreign: [0, 0, 1, 1, 2][rng.random_range(0..5)],
            foreign_ops: ops.div_ceil(4),
            // Of few digits, so that it is the same when it is read again.
            retention: f64::from(rng.random_range(50..300_u32)) / 100.0,
            // Time for a mutation from its lock to its receipt, scripts loaded:
            // with less, each would end as unknown, for ever.
            deadline: deadline.max(LEAST_DEADLINE_MS),
            tokens: [1, 2, 4, 8][rng.random_range(0..4)],
            // What is promised to foreign writers is promised for the default.
            foreign_lock_wait: if quiet { 250 } else { foreign_lock_wait },
            mix,
        }
    }

    /// Draws what a caller does next.
    pub(crate) fn action(&self, rng: &mut impl Rng) -> Action {
        let mut drawn = rng.random_range(0..self.mix.iter().sum::<u32>().max(1));
        for (action, weight) in Action::ALL.iter().zip(&self.mix) {
            if drawn < *weight {
                return *action;
            }
            drawn -= weight;
        }
        Action::Count
    }
}

impl fmt::Display for VaultKnobs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} contended tokens, {} foreign writers x {} mutations, deadline {} ms, patience {} ms, retention {:.2} days, mix",
            self.tokens,
            self.foreign,
            self.foreign_ops,
            self.deadline,
            self.foreign_lock_wait,
            self.retention
        )?;
        for (action, weight) in Action::ALL.iter().zip(&self.mix) {
            write!(f, " {action:?} {weight}")?;
        }
        Ok(())
    }
}
