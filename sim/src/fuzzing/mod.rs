//! What is tried on arbitrary bytes: by a fuzzer (`fuzz/`), and by the tests
//! on generated ones. A body fails by panicking.
//!
//! They drive production code and the simulated Redis only, without network,
//! threads or clocks, so that a few bytes tell the whole story of a failure.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a body fails by panicking"
)]

mod canonical_json;
mod chain_verify;
mod diff_apply;
mod in_process;
mod resp;

pub use canonical_json::canonical_json;
pub use chain_verify::chain_verify;
pub use diff_apply::diff_apply;
pub use resp::resp;
