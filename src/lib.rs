//! A tamper-evident audit chain that N replicas of a service share in Redis.
#![forbid(unsafe_code)]

pub mod audit;
mod builder;
pub mod chain;
pub mod clock;
pub mod entropy;
mod error;
pub mod redis;
mod sync;

pub use builder::{Builder, StartError};
pub use error::{
    AppendError, Cause, Corrupt, Handle, InvalidHandle, NotApplied, ReadError, RolledBack,
};
