//! Ways to Redis on real servers: Sentinel, Cluster, TLS.

mod cluster;
mod passwords;
mod sentinel;
#[cfg(feature = "tls")]
mod tls;
