//! From an event to its position in the chain: queue, batches, outcomes.
//!
//! Callers hand events to an [`AuditSink`]; one [`AppendLoop`] a process turns
//! them into records, batch by batch, and puts them through the fence of an
//! [`AuditStore`](store::AuditStore). This module must not know what a store is made of.

mod anchors;
mod append_loop;
mod queue;
mod read;
mod sink;
pub mod store;

pub use anchors::{AnchorSink, FileAnchors, StdoutAnchors, read_anchor_file};
pub use append_loop::AppendLoop;
pub use read::Pages;
pub use sink::{AnchorStatus, Appended, AuditConfig, AuditSink, AuditStats, CloseReport};
