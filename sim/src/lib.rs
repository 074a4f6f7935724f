//! A deterministic simulation that tries to break haechi-store-redis.

pub mod check;
pub mod history;
pub mod redis;
pub mod server_process;
