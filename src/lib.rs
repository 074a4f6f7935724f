//! A tamper-evident audit chain that N replicas of a service share in Redis.
#![forbid(unsafe_code)]

pub mod chain;
