//! Operations as data: what callers do, with everything drawn beforehand. Who
//! carries them out is in `world`.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use crate::world::{Action, Config, VaultKnobs};

/// One operation of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// When it begins at the earliest, in milliseconds of simulated time.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
    /// How long its caller waits before it, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think: u64,
    /// What it does.
    #[serde(flatten)]
    pub act: Act,
}

/// What an operation does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Act {
    /// Append an event to the chain: one of its own, or without a number one
    /// that others append as well, byte for byte.
    Append {
        /// What makes it the only one of its kind.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<u32>,
    },
    /// Read the whole chain.
    ReadChain,
    /// Read the whole vault.
    Read,
    /// Read some contended tokens.
    Peek {
        /// Their numbers.
        tokens: Vec<usize>,
    },
    /// Change tokens of the vault.
    Change(Change),
    /// Turn plaintexts into tokens, or back, or forget them.
    Secret {
        /// Which of these.
        action: Action,
        /// One of two ways to do it.
        coin: bool,
        /// Which plaintext or token.
        number: usize,
    },
    /// What a process does that follows the reference's protocol.
    Foreign {
        /// The token it sets.
        sets: usize,
        /// The token it deletes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deletes: Option<usize>,
    },
}

/// A change of tokens of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// In which way.
    pub action: Action,
    /// The numbers of the contended tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<usize>,
    /// Which of them are deleted, where some are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletes: Vec<bool>,
    /// Which of its own tokens a caller changes; `None` for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<u32>,
    /// How long what is written lives, in minutes.
    pub lifetime: u64,
    /// The store is not told beforehand which tokens will be read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unforeseen: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Operation {
    /// Draws an operation of a process.
    pub(crate) fn draw(rng: &mut impl Rng, config: &Config, process: usize) -> Self {
        let think = match config.think {
            0 => 0,
            most => rng.random_range(0..=most),
        };
        let is_foreign = process >= config.replicas;
        let act = match &config.vault {
            Some(knobs) if is_foreign => Act::Foreign {
                sets: rng.random_range(0..knobs.tokens),
                deletes: rng
                    .random_ratio(1, 4)
                    .then(|| rng.random_range(0..knobs.tokens)),
            },
            Some(knobs) if !config.workload.has_chain() || rng.random() => {
                Act::draw_vault(rng, knobs)
            }
            _ if rng.random_range(0..100) < config.reads_percent => Act::ReadChain,
            _ => Act::Append {
                event: event(rng, config),
            },
        };
        Self { at: 0, think, act }
    }
}

/// An event: one of its own, or the one that others record as well.
fn event(rng: &mut impl Rng, config: &Config) -> Option<u32> {
    let is_own = rng.random_range(0..100) >= config.identical_percent;
    is_own.then(|| rng.next_u32())
}

impl Act {
    fn draw_vault(rng: &mut impl Rng, knobs: &VaultKnobs) -> Self {
        match knobs.action(rng) {
            Action::Read => Self::Read,
            Action::Peek => Self::Peek {
                tokens: contended(rng, knobs),
            },
            action @ (Action::Tokenize
            | Action::Reveal
            | Action::PurgeKnown
            | Action::PurgeExpired) => Self::Secret {
                action,
                coin: rng.random(),
                number: rng.random_range(0..knobs.tokens),
            },
            action => Self::Change(Change::draw(rng, knobs, action)),
        }
    }
}

impl Change {
    /// Draws a change of this kind.
    pub(crate) fn draw(rng: &mut impl Rng, knobs: &VaultKnobs, action: Action) -> Self {
        let mut tokens = contended(rng, knobs);
        match action {
            Action::Sweep | Action::Own => tokens.clear(),
            Action::Several | Action::Drop => {}
            _ => tokens.truncate(1),
        }
        let deletes = match action {
            Action::Several => tokens.iter().map(|_| rng.random_bool(0.4)).collect(),
            _ => Vec::new(),
        };
        // One of two that it has had, or a new one: what was given up as not
        // applied would still be, if it came late.
        let own = match action {
            Action::Own => Some(rng.random_range(0..4)).filter(|own| *own < 2),
            _ => None,
        };
        Self {
            action,
            tokens,
            deletes,
            own,
            // Some of what all contend for has expired at once, so that sweeps
            // find something; a caller's own tokens take a jump of the clock.
            lifetime: match rng.random_ratio(1, 6) {
                true if action != Action::Own => 0,
                _ => rng.random_range(720..8640),
            },
            unforeseen: rng.random_ratio(1, 8),
        }
    }
}

/// A few of the contended tokens, in the order they were drawn.
fn contended(rng: &mut impl Rng, knobs: &VaultKnobs) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..knobs.tokens).collect();
    let count = rng.random_range(1..=numbers.len().clamp(1, 4));
    (0..count.min(numbers.len()))
        .map(|_| numbers.swap_remove(rng.random_range(0..numbers.len())))
        .collect()
}
