//! The simulated server on a TCP port, in real time: for redis-cli and for clients in any language.
//!
//! The order of commands from different connections is not deterministic here.

use super::server::{Gate, Open, lock, serve_connection};
use super::{Config, Redis, SharedRedis};
use std::future::Future;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Serves every connection that `listener` accepts until `ended` completes. Needs a tokio runtime with I/O and time.
///
/// Connections that are open at the end go on until the runtime is dropped. `gate` injects faults; without faults it is
/// [`Open`].
#[allow(
    clippy::disallowed_methods,
    reason = "a server in real time; nothing of a simulation runs here"
)]
pub async fn serve<G: Gate + Send + 'static>(
    listener: TcpListener,
    redis: SharedRedis,
    gate: Arc<Mutex<G>>,
    ended: impl Future<Output = ()>,
) {
    let mut ended = pin!(ended);
    loop {
        let accepted = tokio::select! {
            () = &mut ended => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, _)) => {
                // Small replies are sent at once, as by redis-server; if this
                // fails, they are only slower.
                let _ = stream.set_nodelay(true);
                tokio::spawn(serve_connection(
                    stream,
                    redis.clone(),
                    gate.clone(),
                    tokio::time::sleep,
                ));
            }
            // Probably out of file descriptors: open connections go on, and may
            // free one.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}

/// A simulated server on a free port of 127.0.0.1, on a thread of its own. Dropping it closes the port and all
/// connections.
///
/// ```
/// use redis_sim::{Config, tcp::TcpServer};
/// use std::io::{Read, Write};
///
/// let server = TcpServer::start(Config::wall_clock())?;
/// let mut client = std::net::TcpStream::connect(("127.0.0.1", server.port()))?;
/// client.write_all(b"PING\r\n")?;
/// let mut reply = [0; 7];
/// client.read_exact(&mut reply)?;
/// assert_eq!(&reply, b"+PONG\r\n");
/// # std::io::Result::Ok(())
/// ```
#[derive(Debug)]
pub struct TcpServer {
    port: u16,
    redis: SharedRedis,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl TcpServer {
    /// Starts a server that injects no faults.
    ///
    /// # Errors
    /// When there is no free port, or no thread or runtime can be created.
    pub fn start(config: Config) -> io::Result<TcpServer> {
        TcpServer::start_with(config, Arc::new(Mutex::new(Open)))
    }

    /// Starts a server with faults from `gate`.
    ///
    /// # Errors
    /// As [`TcpServer::start`].
    #[allow(
        clippy::disallowed_methods,
        reason = "a server in real time; nothing of a simulation runs here"
    )]
    pub fn start_with<G: Gate + Send + 'static>(
        config: Config,
        gate: Arc<Mutex<G>>,
    ) -> io::Result<TcpServer> {
        let listener = std::net::TcpListener::bind(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        let port = listener.local_addr()?.port();
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let listener = {
            let _entered = runtime.enter();
            TcpListener::from_std(listener)?
        };
        let redis = Arc::new(Mutex::new(Redis::new(config)));
        let (end, ended) = oneshot::channel::<()>();
        let served = redis.clone();
        let thread = std::thread::Builder::new()
            .name("redis-sim".to_owned())
            .spawn(move || {
                runtime.block_on(serve(listener, served, gate, async {
                    // An error is a dropped sender, which ends the server too.
                    let _ = ended.await;
                }));
            })?;
        Ok(TcpServer {
            port,
            redis,
            end: Some(end),
            thread: Some(thread),
        })
    }

    /// The port it listens on, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// `redis://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// The server itself, to change its modes or read its data. No command runs
    /// while the guard exists.
    pub fn redis(&self) -> MutexGuard<'_, Redis> {
        lock(&self.redis)
    }
}

impl Drop for TcpServer {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was printed there.
            let _ = thread.join();
        }
    }
}
