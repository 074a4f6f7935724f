//! What came of one run, whatever it ran on.

use std::collections::BTreeMap;

use haechi_history::{History, check::Violation};
use haechi_store_redis::{audit::AuditStats, vault::VaultStats};

use super::{HarnessError, Outcomes};
use crate::plan::FaultKind;

/// What came of one seed, in a world or against a real redis-server.
#[derive(Debug)]
pub struct RunReport {
    /// The seed.
    pub seed: u64,
    /// What does not hold; empty if all does.
    pub violations: Vec<Violation>,
    /// What the harness got wrong: without any, the violations are all.
    pub harness_errors: Vec<HarnessError>,
    /// How the operations ended.
    pub outcomes: Outcomes,
    /// How those of the vault ended.
    pub vault_outcomes: Outcomes,
    /// How often each fault struck.
    pub faults: BTreeMap<FaultKind, u64>,
    /// What the sinks counted, all together.
    pub stats: AuditStats,
    /// What the token stores counted, all together.
    pub vault_stats: VaultStats,
    /// What the processes asked and were told.
    pub history: History,
}

/// What a run has shown of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, strum::IntoStaticStr, strum::Display)]
#[strum(serialize_all = "snake_case")]
pub enum Verdict {
    /// No violation.
    Ok,
    /// An invariant does not hold.
    Violation,
    /// Nothing: the harness itself is wrong.
    HarnessError,
}

impl RunReport {
    /// What it has shown. A harness error comes first: nothing is known then.
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

    /// Whether all holds.
    #[must_use]
    pub fn is_ok(&self) -> bool {
        self.verdict() == Verdict::Ok
    }
}
