//! What the harness itself got wrong. None of it is a violation: it says
//! nothing about the store.

use haechi_history::{Malformed, check::CheckError};

/// An error of the harness.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HarnessError {
    /// What was recorded is no history.
    #[error("the recorded history is malformed: {0}")]
    Malformed(Malformed),
    /// Whatever they did would go unjudged.
    #[error("{0} attempts at the vault belong to no recorded call")]
    StrayAttempts(u64),
    /// It does not fit the production code any more.
    #[error("the planted bug cannot be built: {0}")]
    PlantedBug(String),
    /// The checkers could not tell.
    #[error("the recorded history cannot be judged: {0}")]
    Undecided(CheckError),
}
