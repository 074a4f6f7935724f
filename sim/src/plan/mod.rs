//! What a run does, as data: its knobs, its faults, and every operation of
//! every process, all drawn from a seed or read from a file.

mod counted_faults;
mod document;
mod draw_counted;
mod draw_faults;
mod durability_knobs;
mod fault;
mod fault_kind;
mod faults;
mod knobs;
mod knobs_text;
mod operation;
mod operator_knobs;
mod schedule;
mod seeded;
mod topology;
mod vault_knobs;

pub use counted_faults::{CountedFault, CountedPlan};
pub use document::{Document, Unreadable};
pub use durability_knobs::DurabilityKnobs;
pub use fault::Fault;
pub use fault_kind::{
    CommandFault, FaultClass, FaultKind, LinkFault, LockFault, LossFault, Needs, ProcessFault,
    ServerFault,
};
pub use faults::Faults;
pub use knobs::{AnchorKnobs, Knobs, WorldOptions};
pub use operation::{
    Action, AuditOperation, CancelledOperation, Change, ChangeKind, ForeignOperation, Operation,
    TokenStoreOperation, TokenVaultOperation,
};
pub use operator_knobs::{OperatorKeys, OperatorKnobs};
pub use schedule::Schedule;
pub use topology::Topology;
pub use vault_knobs::{VaultAction, VaultKnobs, Workload};

pub(crate) use draw_faults::Scale;
pub(crate) use fault_kind::in_lines;
pub(crate) use knobs::{LONGEST_MS, TICK_MS};
pub(crate) use schedule::drawn;
pub(crate) use seeded::{Fnv1a, fnv1a, generator};
pub(crate) use topology::LEADER;
pub(crate) use vault_knobs::LARGE;
