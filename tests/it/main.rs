//! Tests through the public API, in one binary.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod anchors;
mod before_7;
#[cfg(feature = "cli")]
mod cli;
mod configuration;
mod contract;
mod corrupt;
mod crypto;
mod deployments;
mod durability;
mod exactly_once;
#[cfg(all(feature = "cli", feature = "metrics", feature = "tracing"))]
mod examples;
mod follow;
mod foreign;
mod health;
mod layout;
mod load;
mod mixed_fleet;
mod redirected;
mod refusals;
mod repair;
mod replica;
mod resolve;
mod resume;
mod runtime;
mod sink;
mod support;
#[cfg(all(feature = "metrics", feature = "tracing"))]
mod telemetry;
mod vault;
