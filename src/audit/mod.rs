//! From an event to its position in the chain: queue, batches, outcomes.
//!
//! Callers pass events to an [`AuditSink`]; one [`AppendLoop`] per process
//! turns them into records, batch by batch, and appends them through an
//! [`AuditStore`](store::AuditStore). This module does not depend on any
//! particular store.

mod anchor_writer;
mod anchors;
mod append_loop;
mod follow;
mod known;
mod queue;
mod read;
mod repair;
mod resolve;
mod rollback;
mod sink;
pub mod store;

pub use anchors::{AnchorMedium, AnchorSink, FileAnchors, StdoutAnchors, read_anchor_file};
pub use append_loop::AppendLoop;
pub use follow::{Follow, FollowError};
pub use read::Pages;
pub use repair::{Evidence, Examination, Repair, RepairError};
pub use resolve::{IfOpen, Resolution, ResolveError, resolve};
pub use rollback::{AcceptedLosses, LossKeys};
pub(crate) use rollback::{check, standing};
pub use sink::{AnchorStatus, Appended, AuditConfig, AuditSink, AuditStats, CloseReport};
