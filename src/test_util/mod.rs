//! For tests of the store and of programs that use it: reference models of
//! chain and vault as stores in memory, stores with hooks and with faults,
//! clocks, seeded randomness, and a fake server.
//!
//! Behind the feature `test-util`, off by default. The feature changes nothing
//! outside of this module, and nothing outside of it may use it.

mod clock;
mod entropy;
mod fake_server;
mod faults;
mod hooked;
mod memory_chain;
mod memory_vault;
mod vault_model;

pub use clock::{AutoClock, InstantClock, ManualClock};
pub use entropy::{FixedEntropy, SplitMixEntropy};
pub use fake_server::{Answer, Answers, FakeConnection, FakeServer, Script, ScriptedServer};
pub use faults::{Fault, Faults};
pub use hooked::{AuditHooks, Hooked, VaultHooks};
pub use memory_chain::{ChainModel, MemoryChain};
pub use memory_vault::MemoryVault;
pub use vault_model::VaultModel;
