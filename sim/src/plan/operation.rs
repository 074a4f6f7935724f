//! Operations as data, with everything drawn beforehand. Each workload has its
//! own.

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

use super::{Knobs, VaultAction, VaultKnobs};

/// One operation of one process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// When it begins at the earliest, in milliseconds since the run began.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub at: u64,
    /// How long its caller waits before it, in milliseconds.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub think: u64,
    /// What it does.
    #[serde(flatten)]
    pub action: Action,
}

/// What an operation does, by the workload that carries it out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "workload", rename_all = "snake_case")]
#[expect(missing_docs, reason = "each workload's operations say what they are")]
pub enum Action {
    Audit(AuditOperation),
    TokenStore(TokenStoreOperation),
    TokenVault(TokenVaultOperation),
    Foreign(ForeignOperation),
    Cancelled(CancelledOperation),
}

/// What callers of the audit chain do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum AuditOperation {
    /// Append an event to the chain: a unique one or, without a number, one
    /// that is identical in all processes.
    Append {
        /// Makes the event unique.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        event: Option<u32>,
    },
    /// Read the whole chain.
    ReadChain,
    /// Open another sink, and close the one before, which may be busy.
    Reopen {
        /// How long closing may take, in milliseconds.
        within: u64,
    },
}

/// What callers of the token store do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum TokenStoreOperation {
    /// Read the whole vault.
    ReadAll,
    /// Read some contended tokens.
    ReadTokens {
        /// Their numbers.
        tokens: Vec<usize>,
    },
    /// Change tokens.
    Change(Change),
}

/// What callers of the `TokenVault` do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum TokenVaultOperation {
    /// Turn a plaintext into a token.
    Tokenize {
        /// Whether the token is random, and the plaintext new.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        random: bool,
        /// Which plaintext, if not.
        number: usize,
    },
    /// Reveal a token that this process created.
    Reveal {
        /// Which token, counted from the latest.
        number: usize,
    },
    /// Restore the latest tokens that this process created.
    Detokenize,
    /// Purge a token that this process created.
    Purge {
        /// Which token, counted from the latest.
        number: usize,
    },
    /// Purge all expired tokens, by the index.
    PurgeExpired,
    /// Open another vault, and close the one before while it may be busy.
    Reopen {
        /// How long closing may take, in milliseconds.
        within: u64,
    },
}

/// What callers do that drop the future before it is ready.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum CancelledOperation {
    /// Append a unique event to the chain.
    Append {
        /// Makes the event unique.
        event: u32,
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
    /// Turn a plaintext into a token.
    Tokenize {
        /// Whether the token is random, and the plaintext new.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        random: bool,
        /// Which plaintext, if not.
        number: usize,
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
    /// Purge a token that this process created.
    Purge {
        /// Which token, counted from the latest.
        number: usize,
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
    /// Purge all expired tokens.
    PurgeExpired {
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
    /// Reveal a token that this process created.
    Reveal {
        /// Which token, counted from the latest.
        number: usize,
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
    /// Restore the latest tokens that this process created.
    Detokenize {
        /// How often the future is polled before it is dropped.
        polls: u32,
    },
}

/// What a process does by the reference's protocol.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum ForeignOperation {
    /// Change contended tokens, fenced on the version of the whole vault.
    Mutate {
        /// The token it sets.
        sets: usize,
        /// The token it deletes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        deletes: Option<usize>,
    },
    /// Copy the record of one token over that of another, with the same fence.
    Copy {
        /// The first token, by the order of the names of all.
        from: usize,
        /// The second.
        to: usize,
    },
}

/// A change of tokens of the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// What is done to the tokens.
    pub kind: ChangeKind,
    /// The numbers of the contended tokens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tokens: Vec<usize>,
    /// Which of them are deleted, for `Several`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub deletes: Vec<bool>,
    /// Which of its own tokens a caller changes; `None` for a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub own: Option<u32>,
    /// The lifetime of written values, in minutes.
    pub lifetime: u64,
    /// Whether the store has to find out which tokens are read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unforeseen: bool,
}

/// A kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// Read, change and write one contended token.
    Count,
    /// Set some contended tokens and delete others, in one diff.
    Several,
    /// Delete some contended tokens.
    Drop,
    /// Set a contended token if it is absent.
    Create,
    /// Delete one contended token if it is present.
    Purge,
    /// Delete all expired tokens, by reading the whole vault.
    Sweep,
    /// Extend the expiry of a contended token.
    Refresh,
    /// Change a token that no other process changes.
    Own,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Operation {
    /// Draws an operation of a process.
    pub(crate) fn draw(rng: &mut impl Rng, knobs: &Knobs, process: usize) -> Self {
        let think = match knobs.think {
            0 => 0,
            most => rng.random_range(0..=most),
        };
        let action = match &knobs.vault {
            Some(vault) if process >= knobs.replicas => {
                Action::Foreign(ForeignOperation::draw(rng, vault))
            }
            Some(vault) if !knobs.workload.has_chain() || rng.random() => {
                Action::draw_vault(rng, vault)
            }
            _ => Action::Audit(AuditOperation::draw(rng, knobs)),
        };
        Self {
            at: 0,
            think,
            action: match CancelledOperation::draw(rng, &action) {
                Some(cancelled) => Action::Cancelled(cancelled),
                None => action,
            },
        }
    }

    /// The longest time in it.
    pub(super) fn longest_ms(&self) -> u64 {
        let lifetime = match &self.action {
            Action::Audit(AuditOperation::Reopen { within })
            | Action::TokenVault(TokenVaultOperation::Reopen { within }) => *within,
            Action::TokenStore(TokenStoreOperation::Change(change)) => change.lifetime,
            Action::TokenStore(
                TokenStoreOperation::ReadAll | TokenStoreOperation::ReadTokens { .. },
            )
            | Action::Audit(_)
            | Action::TokenVault(_)
            | Action::Foreign(_)
            | Action::Cancelled(_) => 0,
        };
        self.at.max(self.think).max(lifetime)
    }
}

impl Action {
    fn draw_vault(rng: &mut impl Rng, vault: &VaultKnobs) -> Self {
        let change = |rng: &mut _, kind| {
            Self::TokenStore(TokenStoreOperation::Change(Change::draw(rng, vault, kind)))
        };
        if rng.random_ratio(1, 60) {
            let within = rng.random_range(0..=vault.deadline);
            return Self::TokenVault(TokenVaultOperation::Reopen { within });
        }
        match vault.draw_action(rng) {
            VaultAction::Read => Self::TokenStore(TokenStoreOperation::ReadAll),
            VaultAction::Peek => Self::TokenStore(TokenStoreOperation::ReadTokens {
                tokens: contended(rng, vault),
            }),
            VaultAction::Count => change(rng, ChangeKind::Count),
            VaultAction::Several => change(rng, ChangeKind::Several),
            VaultAction::Drop => change(rng, ChangeKind::Drop),
            VaultAction::Create => change(rng, ChangeKind::Create),
            VaultAction::Purge => change(rng, ChangeKind::Purge),
            VaultAction::Sweep => change(rng, ChangeKind::Sweep),
            VaultAction::Refresh => change(rng, ChangeKind::Refresh),
            VaultAction::Own => change(rng, ChangeKind::Own),
            action @ (VaultAction::Tokenize
            | VaultAction::Reveal
            | VaultAction::PurgeKnown
            | VaultAction::PurgeExpired) => {
                let alternative = rng.random();
                let number = rng.random_range(0..vault.tokens);
                Self::TokenVault(match action {
                    VaultAction::Tokenize => TokenVaultOperation::Tokenize {
                        random: alternative,
                        number,
                    },
                    VaultAction::Reveal if alternative => TokenVaultOperation::Reveal { number },
                    VaultAction::Reveal => TokenVaultOperation::Detokenize,
                    VaultAction::PurgeKnown => TokenVaultOperation::Purge { number },
                    _ => TokenVaultOperation::PurgeExpired,
                })
            }
        }
    }
}

impl AuditOperation {
    fn draw(rng: &mut impl Rng, knobs: &Knobs) -> Self {
        if rng.random_range(0..100) < knobs.reads_percent {
            return Self::ReadChain;
        }
        if rng.random_ratio(1, 40) {
            return Self::Reopen {
                within: rng.random_range(0..=knobs.deadline),
            };
        }
        let is_own = rng.random_range(0..100) >= knobs.identical_percent;
        Self::Append {
            event: is_own.then(|| rng.next_u32()),
        }
    }
}

impl CancelledOperation {
    /// Draws whether an operation is cancelled, and when.
    fn draw(rng: &mut impl Rng, action: &Action) -> Option<Self> {
        let cancelled = |polls| match action {
            Action::Audit(AuditOperation::Append { event: Some(event) }) => Some(Self::Append {
                event: *event,
                polls,
            }),
            Action::TokenVault(TokenVaultOperation::Tokenize { random, number }) => {
                Some(Self::Tokenize {
                    random: *random,
                    number: *number,
                    polls,
                })
            }
            Action::TokenVault(TokenVaultOperation::Purge { number }) => Some(Self::Purge {
                number: *number,
                polls,
            }),
            Action::TokenVault(TokenVaultOperation::PurgeExpired) => {
                Some(Self::PurgeExpired { polls })
            }
            Action::TokenVault(TokenVaultOperation::Reveal { number }) => Some(Self::Reveal {
                number: *number,
                polls,
            }),
            Action::TokenVault(TokenVaultOperation::Detokenize) => Some(Self::Detokenize { polls }),
            _ => None,
        };
        cancelled(0)?;
        let polls = [1, 2, 3, 5, 8, 13, 21, 34][rng.random_range(0..8)];
        // Purges are rare.
        let one_in = match action {
            Action::TokenVault(TokenVaultOperation::Purge { .. }) => 3,
            _ => 10,
        };
        rng.random_ratio(1, one_in)
            .then(|| cancelled(polls))
            .flatten()
    }
}

impl ForeignOperation {
    fn draw(rng: &mut impl Rng, vault: &VaultKnobs) -> Self {
        if rng.random_ratio(1, 8) {
            return Self::Copy {
                from: rng.random_range(0..64),
                to: rng.random_range(0..64),
            };
        }
        Self::Mutate {
            sets: rng.random_range(0..vault.tokens),
            deletes: rng
                .random_ratio(1, 4)
                .then(|| rng.random_range(0..vault.tokens)),
        }
    }
}

impl Change {
    /// Draws a change of this kind.
    pub(crate) fn draw(rng: &mut impl Rng, vault: &VaultKnobs, kind: ChangeKind) -> Self {
        let mut tokens = contended(rng, vault);
        match kind {
            ChangeKind::Sweep | ChangeKind::Own => tokens.clear(),
            ChangeKind::Several | ChangeKind::Drop => {}
            ChangeKind::Count | ChangeKind::Create | ChangeKind::Purge | ChangeKind::Refresh => {
                tokens.truncate(1);
            }
        }
        let deletes = match kind {
            ChangeKind::Several => tokens.iter().map(|_| rng.random_bool(0.4)).collect(),
            _ => Vec::new(),
        };
        // A used token or a new one: on a used one, a late attempt that was
        // reported as not applied could still be applied.
        let own = match kind {
            ChangeKind::Own => Some(rng.random_range(0..4)).filter(|own| *own < 2),
            _ => None,
        };
        Self {
            kind,
            tokens,
            deletes,
            own,
            // Some contended tokens expire at once, for sweeps to find; a
            // caller's own tokens outlive a clock jump.
            lifetime: match rng.random_ratio(1, 6) {
                true if kind != ChangeKind::Own => 0,
                _ => rng.random_range(720..8640),
            },
            unforeseen: rng.random_ratio(1, 8),
        }
    }
}

/// A few of the contended tokens, in the order they were drawn.
fn contended(rng: &mut impl Rng, vault: &VaultKnobs) -> Vec<usize> {
    let mut numbers: Vec<usize> = (0..vault.tokens).collect();
    let count = rng.random_range(1..=numbers.len().clamp(1, 4));
    (0..count.min(numbers.len()))
        .map(|_| numbers.swap_remove(rng.random_range(0..numbers.len())))
        .collect()
}
