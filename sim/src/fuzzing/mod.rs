//! The bodies of the fuzz targets (`fuzz/`), also run by the tests on generated
//! bytes. A body fails by panicking.
//!
//! They use only production code and the simulated Redis, without network,
//! threads or clocks, so that the bytes reproduce a failure.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a body fails by panicking"
)]

mod canonical_json;
mod chain_verify;
mod diff_apply;
mod envelope_open;
mod in_process;
mod resp;

pub use canonical_json::canonical_json;
pub use chain_verify::chain_verify;
pub use diff_apply::diff_apply;
pub use envelope_open::envelope_open;
pub use resp::resp;
