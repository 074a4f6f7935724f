//! What is recorded while processes run: the history, the trace, the counts,
//! and how far each process has got.
//!
//! It does not depend on what the processes run on.

mod accesses;
mod anchors;
mod call_trace;
mod chain;
mod clocks;
mod commands;
mod contents;
mod coverage;
mod data_loss;
mod detection;
mod final_state;
mod harness_error;
mod loaded;
mod log;
mod quality;
mod recorder;
mod recording_store;
mod report;
mod resolved;
#[cfg(test)]
mod tests;
mod trace;
mod vault;

pub use coverage::{Ending, Mark, Marks, Situation};
pub use detection::Detection;
pub use harness_error::HarnessError;
pub use log::Outcomes;
pub use report::{Losses, RunReport, Verdict};

pub(crate) use call_trace::{Values, text};
pub(crate) use clocks::Clocks;
pub(crate) use commands::command_of;
pub(crate) use contents::{Contents, StoreKeys, has_taken};
pub(crate) use coverage::CoverageRecorder;
pub(crate) use data_loss::{Complaint, Gone, OPERATOR, OperatorEnd};
pub(crate) use final_state::{PLAINTEXT, evaluate, violation};
pub(crate) use loaded::{bare_record, in_metadata, is_unused, listed, unused};
pub(crate) use log::{Log, nanos};
pub(crate) use quality::CANCELLED;
pub(crate) use recorder::{RunRecorder, Source, replica_name};
pub(crate) use recording_store::{CALL, RecordAttempts, RecordingStore};
pub(crate) use resolved::UnknownWrite;
pub(crate) use trace::{Trace, parting};
pub(crate) use vault::Failure;
