//! Ways to Redis on real servers: Sentinel, Cluster, TLS.

mod cluster;
mod managed;
mod passwords;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
