//! Ways to Redis on real servers: Sentinel, Cluster, TLS.

mod cluster;
mod managed;
mod passwords;
mod sentinel;
mod single;
#[cfg(feature = "tls")]
mod tls;
mod writers;
