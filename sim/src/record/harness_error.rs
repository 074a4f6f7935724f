//! Errors of the harness itself. They are not violations of the store.

use haechi_history::{Malformed, check::CheckError};

/// An error of the harness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// The recording is not a valid history.
    #[error("the recorded history is malformed: {0}")]
    Malformed(Malformed),
    /// Their effects would not be checked.
    #[error("{0} attempts at the vault belong to no recorded call")]
    StrayAttempts(u64),
    /// The production code has changed.
    #[error("the planted bug cannot be built: {0}")]
    PlantedBug(String),
    /// The checker reached no verdict.
    #[error("the recorded history could not be checked: {0}")]
    Undecided(CheckError),
}
