//! The simulated server on a host of a turmoil simulation (feature `turmoil`).
//!
//! It uses tokio's clock, which turmoil drives, so that the seed determines the
//! whole simulation.
//!
//! ```
//! use redis_sim::{Config, Redis, server::Open};
//! use std::sync::{Arc, Mutex};
//! use tokio::io::{AsyncReadExt, AsyncWriteExt};
//!
//! let mut sim = turmoil::Builder::new().rng_seed(7).build();
//! let redis = Arc::new(Mutex::new(Redis::new(Config::default())));
//! let gate = Arc::new(Mutex::new(Open));
//! sim.host("redis", move || {
//!     let (redis, gate) = (redis.clone(), gate.clone());
//!     let admit = move |_| Some((redis.clone(), gate.clone()));
//!     async move { Ok(redis_sim::turmoil::serve(6379, admit).await?) }
//! });
//! sim.client("client", async {
//!     let mut stream = turmoil::net::TcpStream::connect("redis:6379").await?;
//!     stream.write_all(b"PING\r\n").await?;
//!     let mut reply = [0; 7];
//!     stream.read_exact(&mut reply).await?;
//!     assert_eq!(&reply, b"+PONG\r\n");
//!     Ok(())
//! });
//! sim.run().unwrap();
//! ```

use super::SharedRedis;
use super::server::{Gate, serve_connection};
use ::turmoil::net::TcpListener;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Serves every connection to `port` of the host that runs this, for as long as the host does.
///
/// `admit` maps the peer's address to the server that answers, as a proxy would,
/// and the connection's gate; `None` resets the connection.
///
/// # Errors
/// When the port is in use.
#[allow(
    clippy::disallowed_methods,
    reason = "tokio's clock is the simulation's here"
)]
pub async fn serve<G: Gate + 'static>(
    port: u16,
    mut admit: impl FnMut(SocketAddr) -> Option<(SharedRedis, Arc<Mutex<G>>)>,
) -> io::Result<()> {
    let listener = TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        // Dropping the stream resets it.
        let Some((redis, gate)) = admit(peer) else {
            continue;
        };
        tokio::task::spawn_local(async move {
            // A broken connection ends like any other.
            let _ = serve_connection(stream, redis, gate, tokio::time::sleep).await;
        });
    }
}
