//! The report of one run.

use std::collections::BTreeMap;

use haechi_history::{
    History,
    check::{LossAccount, Violation, account},
};
use haechi_store_redis::{audit::AuditStats, vault::VaultStats};

use super::{HarnessError, Outcomes};
use crate::plan::FaultKind;

/// The report of one seed, in a world or against a real redis-server.
#[derive(Debug)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// The violations found.
    pub violations: Vec<Violation>,
    /// Errors of the harness; the violations are conclusive only without any.
    pub harness_errors: Vec<HarnessError>,
    /// The outcomes of the operations.
    pub outcomes: Outcomes,
    /// The outcomes of the vault's operations.
    pub vault_outcomes: Outcomes,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// The sum of the sinks' counters.
    pub stats: AuditStats,
    /// The sum of the token stores' counters.
    pub vault_stats: VaultStats,
    /// For each fault that loses data: how often it struck, and what the processes did
    /// that had seen what it took.
    pub losses: Losses,
    /// The history.
    pub history: History,
}

/// What processes did that had seen what a fault took, by the fault's name.
pub type Losses = BTreeMap<String, LossAccount>;

/// The account of each loss in a history, by fault.
pub(super) fn losses(history: &History) -> Losses {
    let mut losses = Losses::new();
    for (loss, account) in history.losses().iter().zip(account(history)) {
        let fault = history.text(loss.fault).to_owned();
        losses.entry(fault).or_default().add(account);
    }
    losses
}

/// The verdict on a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// No violation.
    Ok,
    /// An invariant does not hold.
    Violation,
    /// The harness itself failed.
    HarnessError,
}

impl RunReport {
    /// The verdict; a harness error takes precedence.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if !self.harness_errors.is_empty() {
            Verdict::HarnessError
        } else if !self.violations.is_empty() {
            Verdict::Violation
        } else {
            Verdict::Ok
        }
    }

    /// Whether there is neither a violation nor a harness error.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.verdict() == Verdict::Ok
    }
}
